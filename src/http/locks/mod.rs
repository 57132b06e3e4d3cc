//! `/v1/locks`: locks of the caller's tenant.
//!
//! None of these takes an `Idempotency-Key`: owner and token make each safe to repeat, and an answer of before would
//! tell of a lease that may be over.

pub(super) mod acquire;
pub(super) mod get;
pub(super) mod release;
pub(super) mod renew;
mod view;
