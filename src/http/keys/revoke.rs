//! `DELETE /v1/keys/{id}`: revokes an API key. Within a second no replica takes it; a second time changes nothing.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::view::KeyView;
use crate::http::auth::By;
use crate::http::extract::KeyIdInPath;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;
use crate::id::KeyId;

refusals!(KeyNotFound, StoreUnavailable);

/// Revoke an API key
///
/// Within a second no replica takes it. A second time changes nothing.
#[utoipa::path(delete, path = "/v1/keys/{id}", operation_id = "revokeKey", tag = "keys",
    params(("id" = KeyId, Path, description = "The key.")),
    responses((status = 200, description = "The key as it is now.", body = KeyView), Refusals))]
pub(in crate::http) async fn revoke(
    State(app): State<App>,
    By(caller): By,
    KeyIdInPath(id): KeyIdInPath,
) -> Result<Response, Problem> {
    let revoked = app.access.revoke(&caller, id).await?;
    Ok(noted(Json(KeyView::from(revoked)).into_response()))
}
