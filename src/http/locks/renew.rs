//! `POST /v1/locks/{name}/renew`: its holder keeps it for longer.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::{LockView, hold};
use crate::http::auth::By;
use crate::http::extract::{InPath, JsonBody};
use crate::http::fields::{FencingToken, LeaseSeconds, LockName, LockOwner};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

/// Who holds it, and how long it shall last from now.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = LockRenewal, example = json!({"owner": "worker-7", "token": 1_795_253_513_787_u64, "ttl_seconds": 30}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Renewal {
    owner: LockOwner,
    token: FencingToken,
    ttl_seconds: LeaseSeconds,
}

refusals!(LeaseLost, StoreUnavailable);

/// Keep a lock for longer
///
/// Only who holds it may, and only before the lease is over. Safe to repeat.
#[utoipa::path(post, path = "/v1/locks/{name}/renew", operation_id = "renewLock", tag = "locks",
    params(("name" = LockName, Path, description = "The lock's name.")), request_body = Renewal,
    responses((status = 200, description = "The lease runs anew.", body = LockView), Refusals))]
pub(in crate::http) async fn renew(
    State(app): State<App>,
    By(caller): By,
    InPath(name): InPath<LockName>,
    JsonBody(Renewal { owner, token, ttl_seconds }): JsonBody<Renewal>,
) -> Result<Json<LockView>, Problem> {
    let lease = Duration::from_secs(ttl_seconds.0.into());
    Ok(Json(app.locks.renew(&hold(&caller, name, &owner, token), lease).await?.into()))
}
