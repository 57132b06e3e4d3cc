//! A session as callers see it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::fields::{SessionKey, SessionName, Timestamp};
use crate::id::{LeaseId, WorkerId};
use crate::pool::{Session, SessionRef};

/// A session of a pool.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PoolSession)]
pub(in crate::http) struct SessionView {
    /// Its name; null where it has none.
    #[schema(required, value_type = Option<SessionName>)]
    session: Option<String>,
    /// Its key; null where it has none.
    #[schema(required, value_type = Option<SessionKey>)]
    key: Option<String>,
    #[schema(value_type = LeaseId)]
    lease: String,
    /// `waiting`, `offered`, `held`, or of a keyed session `idle`: nobody uses it, and it keeps its worker.
    state: &'static str,
    /// Its worker; null while there is none.
    #[schema(required, value_type = Option<WorkerId>)]
    worker: Option<String>,
    created_at: Timestamp,
    /// When somebody last used it, or renewed its lease.
    last_used_at: Timestamp,
    /// For how long nobody has used it; 0 while somebody holds it.
    idle_seconds: u64,
    /// When it ends unless it is renewed, or used again; null while it waits.
    #[schema(required)]
    expires_at: Option<Timestamp>,
    /// How many requests it made, as its worker reports.
    requests: u64,
    /// How many of them failed.
    errors: u64,
    /// The memory of its worker; null while that is not known.
    #[schema(required)]
    memory_bytes: Option<u64>,
    /// Its worker's: `unknown`, `healthy` or `unhealthy`; null while there is none.
    #[schema(required)]
    health: Option<String>,
    /// How many checks of its worker's health failed in a row.
    consecutive_failures: u64,
}

impl From<Session> for SessionView {
    fn from(it: Session) -> Self {
        let (last_used, idle_ms) = (it.last_used_ms(), it.idle_ms());
        let Session { lease, worker } = it;
        let name = lease.session.as_ref().map(|session| session.name().as_str().to_owned());
        let is_keyed = lease.session.as_ref().is_some_and(SessionRef::is_keyed);
        let (session, key) = if is_keyed { (None, name) } else { (name, None) };
        Self {
            session,
            key,
            lease: lease.id.to_string(),
            state: lease.state.as_str(),
            worker: lease.worker.map(|id| id.to_string()),
            created_at: Timestamp(lease.created_at_ms),
            last_used_at: Timestamp(last_used),
            idle_seconds: idle_ms / 1_000,
            expires_at: lease.until_ms.map(Timestamp),
            requests: worker.as_ref().map_or(0, |worker| worker.requests),
            errors: worker.as_ref().map_or(0, |worker| worker.errors),
            memory_bytes: worker.as_ref().and_then(|worker| worker.memory_bytes),
            consecutive_failures: worker.as_ref().map_or(0, |worker| worker.failures),
            health: worker.map(|worker| worker.health),
        }
    }
}
