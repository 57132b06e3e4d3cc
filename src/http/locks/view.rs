//! A lock as `/v1` shows it, and how its holder shows the right to it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::http::fields::{FencingToken, LockName, LockOwner, Timestamp};
use crate::lock::{Held, Hold};

/// A lock that is held.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lock)]
pub(in crate::http) struct LockView {
    #[schema(value_type = LockName)]
    name: String,
    #[schema(value_type = LockOwner)]
    owner: String,
    /// Send it along with whatever the holder writes, and refuse there what is below the highest seen.
    #[schema(value_type = FencingToken)]
    token: u64,
    held_since: Timestamp,
    /// When the lease ends unless it is renewed.
    expires_at: Timestamp,
}

impl From<Held> for LockView {
    fn from(held: Held) -> Self {
        let Held { hold: Hold { name, owner, token, .. }, since_ms, until_ms } = held;
        let (held_since, expires_at) = (Timestamp(since_ms), Timestamp(until_ms));
        Self { name: name.as_str().to_owned(), owner, token, held_since, expires_at }
    }
}

/// What a holder shows, for a lock of the caller's tenant.
pub(super) fn hold(caller: &Caller, LockName(name): LockName, owner: &LockOwner, token: FencingToken) -> Hold {
    let owner = owner.0.as_str().to_owned();
    Hold { tenant: caller.tenant().clone(), name, owner, token: token.0 }
}
