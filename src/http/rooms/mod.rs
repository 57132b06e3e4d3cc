//! Rooms: joining one together with its agent, and why it has one or none.

pub(super) mod connect;
pub(super) mod explain;
