//! `PUT /v1/pools/{pool}`: gives a pool its settings.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::pool_of;
use super::settings::SettingsView;
use super::view::PoolView;
use crate::http::auth::By;
use crate::http::extract::{InPath, JsonBody};
use crate::http::fields::PoolNameText;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

refusals!(TooManyPools, StoreUnavailable);

/// Define a pool
///
/// It is made where it is not there, and has these settings from now on; what is left out is as greenroom ships it. Its
/// workers come and go accordingly, once a runner is there.
#[utoipa::path(put, path = "/v1/pools/{pool}", operation_id = "definePool", tag = "pools",
    params(("pool" = PoolNameText, Path, description = "The pool's name.")), request_body = SettingsView,
    responses((status = 200, description = "It was there, and is as asked.", body = PoolView),
        (status = 201, description = "It was made.", body = PoolView), Refusals))]
pub(in crate::http) async fn define(
    State(app): State<App>,
    By(caller): By,
    InPath(name): InPath<PoolNameText>,
    JsonBody(settings): JsonBody<SettingsView>,
) -> Result<Response, Problem> {
    let pool = pool_of(&caller, name);
    let made = app.pools.define(&pool, &settings.try_into()?, None).await?;
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok(noted((status, Json(PoolView::from(app.pools.get(&pool).await?))).into_response()))
}
