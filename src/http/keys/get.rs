//! `GET /v1/keys/{id}`: one API key, without its secret.

use axum::Json;
use axum::extract::State;

use super::view::KeyView;
use crate::http::auth::By;
use crate::http::extract::KeyIdInPath;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::id::KeyId;

refusals!(KeyNotFound, StoreUnavailable);

/// One API key
#[utoipa::path(get, path = "/v1/keys/{id}", operation_id = "getKey", tag = "keys",
    params(("id" = KeyId, Path, description = "The key.")),
    responses((status = 200, description = "The key, without its text.", body = KeyView), Refusals))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    By(caller): By,
    KeyIdInPath(id): KeyIdInPath,
) -> Result<Json<KeyView>, Problem> {
    Ok(Json(app.access.keys().get(&caller, id).await?.into()))
}
