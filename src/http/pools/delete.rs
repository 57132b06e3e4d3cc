//! `DELETE /v1/pools/{pool}`: removes a pool that nobody uses.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::pool_of;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::PoolNameText;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

refusals!(PoolNotFound, PoolInUse, StoreUnavailable);

/// Remove a pool
///
/// Drain it first (`draining`), and stop its runners: while it has workers, or sessions that have or want one, it is
/// refused. A runner that calls later makes the pool again, as greenroom ships it.
#[utoipa::path(delete, path = "/v1/pools/{pool}", operation_id = "deletePool", tag = "pools",
    params(("pool" = PoolNameText, Path, description = "The pool's name.")),
    responses((status = 204, description = "It is gone."), Refusals))]
pub(in crate::http) async fn delete(
    State(app): State<App>,
    By(caller): By,
    InPath(name): InPath<PoolNameText>,
) -> Result<Response, Problem> {
    app.pools.delete(&pool_of(&caller, name)).await?;
    Ok(noted(StatusCode::NO_CONTENT.into_response()))
}
