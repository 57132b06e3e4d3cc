//! `GET /metrics`: OpenMetrics text.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::http::problem::Problem;
use crate::http::state::App;
use crate::telemetry::metrics::CONTENT_TYPE as OPENMETRICS;

/// Metrics
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "operation",
    responses((status = 200, description = "OpenMetrics text.", body = String, content_type = "application/openmetrics-text")))]
pub(in crate::http) async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let text = app.metrics.encode().map_err(|error| Problem::internal(error.to_string()))?;
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response())
}
