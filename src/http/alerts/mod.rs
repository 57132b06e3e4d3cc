//! `/v1/alerts`: what somebody should know of, over all replicas and tenants.

pub(super) mod get;
pub(super) mod list;
pub(super) mod snooze;
mod view;
pub(super) mod wake;
