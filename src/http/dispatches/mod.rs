//! `/v1/dispatches`: the agents of rooms.

pub(super) mod activity;
pub(super) mod alive;
pub(super) mod create;
pub(super) mod end;
pub(super) mod end_of_room;
pub(super) mod get;
pub(super) mod list;
pub(super) mod ttl;
pub(super) mod view;
