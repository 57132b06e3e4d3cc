//! `GET /v1/dispatches/{id}`: one dispatch.

use axum::Json;
use axum::extract::State;

use super::view::DispatchView;
use crate::dispatch::Which;
use crate::http::auth::By;
use crate::http::extract::IdInPath;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::id::DispatchId;

refusals!(DispatchNotFound, StoreUnavailable);

/// One dispatch
#[utoipa::path(get, path = "/v1/dispatches/{id}", operation_id = "getDispatch", tag = "dispatches",
    params(("id" = DispatchId, Path, description = "The dispatch.")),
    responses((status = 200, description = "The dispatch.", body = DispatchView), Refusals))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    By(caller): By,
    IdInPath(id): IdInPath,
) -> Result<Json<DispatchView>, Problem> {
    let dispatch = app.dispatches.get(caller.tenant(), Which::Id(id)).await?;
    Ok(Json(dispatch.into()))
}
