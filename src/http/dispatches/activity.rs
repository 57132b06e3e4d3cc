//! `POST /v1/dispatches/{id}/activity`: somebody is interested; a running time to live starts anew.

use axum::Json;
use axum::extract::State;

use super::view::DispatchView;
use crate::dispatch::Which;
use crate::http::auth::By;
use crate::http::extract::IdInPath;
use crate::http::problem::Problem;
use crate::http::state::App;

pub(in crate::http) async fn activity(
    State(app): State<App>,
    By(caller): By,
    IdInPath(id): IdInPath,
) -> Result<Json<DispatchView>, Problem> {
    let dispatch = app.dispatches.touch(caller.tenant(), Which::Id(id)).await?;
    Ok(Json(dispatch.into()))
}
