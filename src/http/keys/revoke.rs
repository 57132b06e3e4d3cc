//! `DELETE /v1/keys/{id}`: revokes an API key. Within a second no replica takes it; a second time changes nothing.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::view::KeyView;
use crate::http::auth::By;
use crate::http::extract::KeyIdInPath;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

pub(in crate::http) async fn revoke(
    State(app): State<App>,
    By(caller): By,
    KeyIdInPath(id): KeyIdInPath,
) -> Result<Response, Problem> {
    let revoked = app.access.revoke(&caller, id).await?;
    Ok(noted(Json(KeyView::from(revoked)).into_response()))
}
