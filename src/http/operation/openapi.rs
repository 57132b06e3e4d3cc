//! `GET /openapi.json`: the API as a machine reads it.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::http::openapi::document;

/// This API as OpenAPI 3.1
#[utoipa::path(get, path = "/openapi.json", operation_id = "getOpenapi", tag = "operation", responses(
    (status = 200, description = "The document.", body = Object, content_type = "application/json"),
))]
pub(in crate::http) async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], document())
}
