//! `GET /v1/pools/{pool}`: how it is to be, and how it is.

use axum::Json;
use axum::extract::State;

use super::pool_of;
use super::view::PoolView;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::PoolNameText;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

refusals!(PoolNotFound, StoreUnavailable);

/// One pool
#[utoipa::path(get, path = "/v1/pools/{pool}", operation_id = "getPool", tag = "pools",
    params(("pool" = PoolNameText, Path, description = "The pool's name.")),
    responses((status = 200, description = "The pool.", body = PoolView), Refusals))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    By(caller): By,
    InPath(name): InPath<PoolNameText>,
) -> Result<Json<PoolView>, Problem> {
    Ok(Json(app.pools.get(&pool_of(&caller, name)).await?.into()))
}
