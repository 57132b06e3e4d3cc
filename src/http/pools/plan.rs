//! `GET /v1/pools/{pool}/plan`: what would be done about its size now.

use axum::Json;
use axum::extract::State;

use super::pool_of;
use super::view::PlanView;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::PoolNameText;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

refusals!(PoolNotFound, StoreUnavailable);

/// What would be done about a pool's size
///
/// A dry run: nothing is changed. What was done is in the pool itself, with the reasons.
#[utoipa::path(get, path = "/v1/pools/{pool}/plan", operation_id = "planPool", tag = "pools",
    params(("pool" = PoolNameText, Path, description = "The pool's name.")),
    responses((status = 200, description = "What would be done, and why.", body = PlanView), Refusals))]
pub(in crate::http) async fn plan(
    State(app): State<App>,
    By(caller): By,
    InPath(name): InPath<PoolNameText>,
) -> Result<Json<PlanView>, Problem> {
    Ok(Json(app.pools.plan(&pool_of(&caller, name), true).await?.into()))
}
