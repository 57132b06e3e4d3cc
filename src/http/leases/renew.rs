//! `POST /v1/leases/{id}/renew`: the session goes on.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::auth::By;
use crate::http::extract::{JsonBody, LeaseInPath};
use crate::http::fields::{FencingToken, Timestamp, WorkerLeaseSeconds};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;
use crate::id::LeaseId;

/// Who renews.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = LeaseRenewal, example = json!({"token": 1_795_253_513_787_u64}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Renewal {
    token: FencingToken,
    /// As before where it is left out.
    ttl_seconds: Option<WorkerLeaseSeconds>,
}

/// How long the lease lasts now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RenewedLease)]
pub(in crate::http) struct Answer {
    expires_at: Timestamp,
}

refusals!(LeaseNotFound, LeaseLost, StoreUnavailable);

/// Keep a worker for longer
///
/// The lease runs anew from now on. Safe to repeat, by the token: it takes no `Idempotency-Key`.
#[utoipa::path(post, path = "/v1/leases/{id}/renew", operation_id = "renewLease", tag = "leases",
    params(("id" = LeaseId, Path, description = "The lease.")), request_body = Renewal,
    responses((status = 200, description = "When it ends now.", body = Answer), Refusals))]
pub(in crate::http) async fn renew(
    State(app): State<App>,
    By(caller): By,
    LeaseInPath(id): LeaseInPath,
    JsonBody(Renewal { token, ttl_seconds }): JsonBody<Renewal>,
) -> Result<Response, Problem> {
    let lasts = ttl_seconds.map(|ttl| Duration::from_secs(ttl.0.into()));
    let until_ms = app.pools.renew(caller.tenant(), (id, token.0), lasts, None).await?;
    Ok(noted(Json(Answer { expires_at: Timestamp(until_ms) }).into_response()))
}
