//! `GET /v1/dispatches/{id}`: one dispatch.

use axum::Json;
use axum::extract::State;

use super::view::DispatchView;
use crate::dispatch::Which;
use crate::http::extract::IdInPath;
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::name::Name;

pub(in crate::http) async fn get(
    State(app): State<App>,
    IdInPath(id): IdInPath,
) -> Result<Json<DispatchView>, Problem> {
    let dispatch = app.dispatches.get(&Name::default_tenant(), Which::Id(id)).await?;
    Ok(Json(dispatch.into()))
}
