//! `POST /v1/dispatches/{id}/activity`: somebody is interested; a running time to live starts anew.

use axum::Json;
use axum::extract::State;

use super::view::DispatchView;
use crate::dispatch::Which;
use crate::http::auth::By;
use crate::http::extract::IdInPath;
use crate::http::idempotency::RequestKey;
use crate::http::problem::Problem;
use crate::http::state::App;

pub(in crate::http) async fn activity(
    State(app): State<App>,
    By(caller): By,
    IdInPath(id): IdInPath,
    key: RequestKey,
) -> Result<Json<DispatchView>, Problem> {
    let once = key.once(&caller, "activity", &id.to_string());
    let dispatch = app.dispatches.touch(caller.tenant(), Which::Id(id), once.as_ref()).await?;
    Ok(Json(dispatch.into()))
}
