//! A lease as callers see it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::fields::{FencingToken, PoolNameText, SessionKey, SessionName, Timestamp};
use crate::id::{LeaseId, WorkerId};
use crate::pool::{Lease, SessionRef};

/// A session's lease of a worker.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lease)]
pub(in crate::http) struct LeaseView {
    #[schema(value_type = LeaseId)]
    id: String,
    #[schema(value_type = PoolNameText)]
    pool: String,
    /// The session's name; null where it has none.
    #[schema(required, value_type = Option<SessionName>)]
    session: Option<String>,
    /// Its key; null where it has none.
    #[schema(required, value_type = Option<SessionKey>)]
    key: Option<String>,
    /// `waiting`, `offered`, `held`, or of a keyed session `idle`: nobody uses it, and it keeps its worker.
    state: &'static str,
    /// The worker; null while there is none.
    #[schema(required, value_type = Option<WorkerId>)]
    worker: Option<String>,
    /// Where the session reaches its worker, as that says; null where it says nothing.
    #[schema(required)]
    endpoint: Option<String>,
    /// For renewing and releasing it, and for whatever the worker writes to; null while there is no worker.
    #[schema(required, value_type = Option<FencingToken>)]
    token: Option<u64>,
    created_at: Timestamp,
    /// When it ends unless it is renewed, or used again; null while there is no worker.
    #[schema(required)]
    expires_at: Option<Timestamp>,
}

impl From<Lease> for LeaseView {
    fn from(lease: Lease) -> Self {
        let (session, key) = match lease.session {
            Some(SessionRef::Keyed(key)) => (None, Some(key.as_str().to_owned())),
            named => (named.map(|session| session.name().as_str().to_owned()), None),
        };
        Self {
            id: lease.id.to_string(),
            pool: lease.pool.pool.as_str().to_owned(),
            session,
            key,
            state: lease.state.as_str(),
            worker: lease.worker.map(|id| id.to_string()),
            endpoint: lease.endpoint,
            token: lease.token,
            created_at: Timestamp(lease.created_at_ms),
            expires_at: lease.until_ms.map(Timestamp),
        }
    }
}
