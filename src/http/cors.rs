//! Cross-origin requests: which other origins' pages may call us and read our answers.
//!
//! No cookie counts for anything here, so credentials in the browser's sense are never allowed: a page
//! shows its key or token in a header, and `*` is then merely a choice.

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::rate_limit::{RATE_LIMIT, RATE_LIMIT_POLICY};
use super::request_id::X_REQUEST_ID;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// How long a browser may remember what it was allowed.
const REMEMBERED: Duration = Duration::from_mins(10);

/// The routes that pages may be let in to: the API, not those for operation.
pub(super) fn covers(template: &str) -> bool {
    template.starts_with("/v1/") || template.starts_with("/api/")
}

/// Answers preflights and marks answers for these origins (`*` is all); none where there are none.
pub(super) fn layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, IDEMPOTENCY_KEY, REQUEST_TIMEOUT, X_REQUEST_ID])
        .expose_headers([X_REQUEST_ID, RETRY_AFTER, RATE_LIMIT, RATE_LIMIT_POLICY])
        .max_age(REMEMBERED);
    Some(layer)
}
