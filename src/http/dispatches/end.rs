//! `DELETE /v1/dispatches/{id}`: ends one dispatch; answers when it is gone at the provider.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::view::DispatchView;
use crate::dispatch::Which;
use crate::http::auth::By;
use crate::http::extract::IdInPath;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

pub(in crate::http) async fn end(
    State(app): State<App>,
    By(caller): By,
    IdInPath(id): IdInPath,
) -> Result<Response, Problem> {
    let ended = app.dispatches.end(caller.tenant(), Which::Id(id)).await?;
    Ok(noted(Json(DispatchView::from(ended)).into_response()))
}
