//! `/v1/keys`: API keys, for those who administer them.

pub(super) mod create;
pub(super) mod get;
pub(super) mod list;
pub(super) mod revoke;
mod view;
