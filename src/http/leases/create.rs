//! `POST /v1/pools/{pool}/leases`: a worker for a session.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::view::LeaseView;
use crate::http::auth::By;
use crate::http::budget::Until;
use crate::http::extract::InPath;
use crate::http::fields::{
    AffinityName, Environment, Metadata, PoolNameText, PriorityName, SessionKey, SessionName, WaitSeconds,
    WorkerLeaseSeconds,
};
use crate::http::idempotency::{KeyedJson, RequestKey};
use crate::http::openapi::refusals::refusals;
use crate::http::pools::pool_of;
use crate::http::problem::{Code, Problem};
use crate::http::shell::noted;
use crate::http::state::App;
use crate::pool::{Assignment, AssignmentParts, PoolError, SessionRef, Wish};

/// How long an offer may take beyond the wait: some workers may be tried in turn.
const OFFER_MAX: Duration = Duration::from_secs(10);

/// What session it is for.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = LeaseRequest, example = json!({"session": "ann", "ttl_seconds": 60, "wait_seconds": 5}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Request {
    /// The same session gets the same lease, and later the same worker where that is to be had.
    session: Option<SessionName>,
    /// The same key gets the same worker, with all that it knows: between two uses nobody else has it. Not with `session`.
    key: Option<SessionKey>,
    /// As the pool has it where it is left out.
    ttl_seconds: Option<WorkerLeaseSeconds>,
    /// Without it the answer comes at once.
    #[serde(default)]
    wait_seconds: WaitSeconds,
    #[serde(default)]
    #[schema(default = "normal")]
    priority: PriorityName,
    #[serde(default)]
    #[schema(default = "hint")]
    affinity: AffinityName,
    #[serde(default)]
    environment: Environment,
    /// Told to the worker alone.
    #[serde(default)]
    metadata: Metadata,
}

/// The lease.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LeaseAnswer)]
pub(in crate::http) struct Answer {
    #[serde(flatten)]
    lease: LeaseView,
    /// Whether it was there before.
    reused: bool,
}

refusals!(PoolNotFound, NoReadyWorker, LineFull, KeysInUse, WorkerBusy, PoolDraining, StoreUnavailable);

/// Get a worker for a session
///
/// At once where one is ready, else in turn, by priority and age. Renew the lease before it expires; release it when the
/// session is over: its worker then forgets all of it before it serves another. A caller that hangs up leaves the line.
///
/// With a `key`, an account's say, the worker stays with it after the release, for `keyed_idle_ms`: who asks with the same
/// key gets the same worker, with all that it knows; another one where that is lost or unhealthy. Where there are
/// `keyed_max`, the one that was used longest ago ends; where all are in use, that is waited for, or refused.
#[utoipa::path(post, path = "/v1/pools/{pool}/leases", operation_id = "createLease", tag = "leases",
    params(RequestKey, ("pool" = PoolNameText, Path, description = "The pool's name.")), request_body = Request,
    responses((status = 200, description = "The session had its worker before, under this lease.", body = Answer),
        (status = 201, description = "The session has its worker.", body = Answer), Refusals))]
pub(in crate::http) async fn create(
    State(app): State<App>,
    By(caller): By,
    Until(deadline): Until,
    InPath(name): InPath<PoolNameText>,
    KeyedJson(request, key): KeyedJson<Request>,
) -> Result<Response, Problem> {
    let session = match (request.session, request.key) {
        (Some(_), Some(_)) => {
            return Err(Problem::new(Code::InvalidRequest, "a lease has a session or a key, not both"));
        }
        (session, key) => {
            session.map(|name| SessionRef::Named(name.0)).or_else(|| key.map(|key| SessionRef::Keyed(key.0)))
        }
    };
    let once = key.once(&caller, "lease_create", name.0.as_str());
    let pool = pool_of(&caller, name);
    let parts = AssignmentParts { environment: request.environment.0, metadata: request.metadata.0 };
    let wish = Wish {
        session,
        lease: request.ttl_seconds.map(|ttl| Duration::from_secs(ttl.0.into())),
        wait: deadline.within(Duration::from_secs(request.wait_seconds.0.into())),
        priority: request.priority.0,
        affinity: request.affinity.0,
        assignment: Assignment::new(&parts),
    };
    // A worker that is offered at the last moment has its time to take the session, as far as the caller waits for that.
    let longest = deadline.within(wish.wait + OFFER_MAX);
    let lease = tokio::time::timeout(longest, app.pools.lease(&pool, &wish, once.as_ref())).await;
    let lease = lease.unwrap_or(Err(PoolError::NoReadyWorker))?;
    let (status, reused) = (if lease.reused { StatusCode::OK } else { StatusCode::CREATED }, lease.reused);
    Ok(noted((status, Json(Answer { lease: lease.into(), reused })).into_response()))
}
