//! Who may call, and what: API keys, their scopes and their tenants.
//!
//! ```text
//! model    what a key, a scope and a caller are, and what a caller may do: pure
//! secret   how a key reads, and how its secret is compared
//! cache    a replica looks a key up at most once a second
//! limits   how many calls a caller may make, over all replicas;  strangers: how many wrong keys an address may show
//! service  Keys: made, listed, revoked;  Access: from what a request shows to a Caller
//! ```
//!
//! A key is `grk_<shard>_<uuid>.<secret>`: an id that leads to its record in Redis, and a secret of 256 random
//! bits, of which only the SHA-256 is kept. The key of the settings opens everything and needs no Redis.

mod bounded;
mod cache;
mod limits;
mod model;
mod secret;
mod service;
mod strangers;

pub use limits::{Limits, Quota, TooFast};
pub use model::{AccessError, ApiKey, Caller, CallerId, KeyPage, NewKey, PageRoom, RATE_LIMIT_MAX, Scope, Scopes};
pub use service::{Access, Keys};
pub use strangers::Strangers;
