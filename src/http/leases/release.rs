//! `POST /v1/leases/{id}/release`: the session is over.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::auth::By;
use crate::http::extract::{JsonBody, LeaseInPath};
use crate::http::fields::FencingToken;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;
use crate::id::LeaseId;

/// Who gives it back.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = LeaseRelease, example = json!({"token": 1_795_253_513_787_u64}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Release {
    token: FencingToken,
}

refusals!(LeaseNotFound, LeaseLost, StoreUnavailable);

/// Give a worker back
///
/// It forgets the session before it serves another. Safe to repeat, without an `Idempotency-Key`: a lease that is over counts
/// as given back.
#[utoipa::path(post, path = "/v1/leases/{id}/release", operation_id = "releaseLease", tag = "leases",
    params(("id" = LeaseId, Path, description = "The lease.")), request_body = Release,
    responses((status = 204, description = "It is over."), Refusals))]
pub(in crate::http) async fn release(
    State(app): State<App>,
    By(caller): By,
    LeaseInPath(id): LeaseInPath,
    JsonBody(Release { token }): JsonBody<Release>,
) -> Result<Response, Problem> {
    app.pools.release(caller.tenant(), (id, token.0), None).await?;
    Ok(noted(StatusCode::NO_CONTENT.into_response()))
}
