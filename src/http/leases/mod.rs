//! Leases: a session's right to a worker of a pool.

pub(super) mod create;
pub(super) mod get;
pub(super) mod release;
pub(super) mod renew;
mod view;
