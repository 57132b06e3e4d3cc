//! A lease as callers see it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::fields::{FencingToken, PoolNameText, SessionName, Timestamp};
use crate::id::{LeaseId, WorkerId};
use crate::pool::Lease;

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
    /// When it ends unless it is renewed; null while there is no worker.
    #[schema(required)]
    expires_at: Option<Timestamp>,
}

impl From<Lease> for LeaseView {
    fn from(lease: Lease) -> Self {
        Self {
            id: lease.id.to_string(),
            pool: lease.pool.pool.as_str().to_owned(),
            session: lease.session,
            state: lease.state.as_str(),
            worker: lease.worker.map(|id| id.to_string()),
            endpoint: lease.endpoint,
            token: lease.token,
            created_at: Timestamp(lease.created_at_ms),
            expires_at: lease.until_ms.map(Timestamp),
        }
    }
}
