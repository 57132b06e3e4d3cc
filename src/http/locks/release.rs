//! `POST /v1/locks/{name}/release`: its holder gives it back.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::hold;
use crate::http::auth::By;
use crate::http::extract::{InPath, JsonBody};
use crate::http::fields::{FencingToken, LockName, LockOwner};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

/// Who gives it back.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = LockRelease, example = json!({"owner": "worker-7", "token": 1_795_253_513_787_u64}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Release {
    owner: LockOwner,
    token: FencingToken,
}

refusals!(LeaseLost, StoreUnavailable);

/// Give a lock back
///
/// Who waits for it is woken. Safe to repeat: a lock that nobody holds counts as given back.
#[utoipa::path(post, path = "/v1/locks/{name}/release", operation_id = "releaseLock", tag = "locks",
    params(("name" = LockName, Path, description = "The lock's name.")), request_body = Release,
    responses((status = 204, description = "It is not the owner's any more."), Refusals))]
pub(in crate::http) async fn release(
    State(app): State<App>,
    By(caller): By,
    InPath(name): InPath<LockName>,
    JsonBody(Release { owner, token }): JsonBody<Release>,
) -> Result<Response, Problem> {
    app.locks.release(&hold(&caller, name, &owner, token)).await?;
    Ok(noted(StatusCode::NO_CONTENT.into_response()))
}
