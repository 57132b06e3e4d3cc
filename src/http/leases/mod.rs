//! Leases: a session's right to a worker of a pool.
//!
//! Asking for one takes an `Idempotency-Key`. Renewing and releasing take none: the token makes each safe to repeat, and an
//! answer of before would tell of a lease that is over by now.

pub(super) mod create;
pub(super) mod get;
pub(super) mod release;
pub(super) mod renew;
mod view;
