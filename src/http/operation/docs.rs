//! `GET /docs`: the API as people read it. The page holds all that it needs: those who operate the
//! service are often without a network.

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;

use crate::http::openapi::page::page;

/// This API as a page
#[utoipa::path(get, path = "/docs", operation_id = "getDocs", tag = "operation", responses(
    (status = 200, description = "A page that loads nothing else.", body = String, content_type = "text/html",
        headers(("Content-Security-Policy" = String, description = "Nothing but the page's own style."))),
))]
pub(in crate::http) async fn docs() -> impl IntoResponse {
    let page = page();
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, page.policy.as_str())];
    (headers, page.html.as_str())
}
