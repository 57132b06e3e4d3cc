//! `GET /healthz`: the process answers. It asks nobody else: a restart mends no Redis.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
pub(in crate::http) struct Answer {
    #[schema(example = "ok")]
    status: &'static str,
}

/// The process answers
///
/// It asks nobody else.
#[utoipa::path(get, path = "/healthz", operation_id = "getHealth", tag = "operation",
    responses((status = 200, description = "It does.", body = Answer)))]
pub(in crate::http) async fn healthz() -> Json<Answer> {
    Json(Answer { status: "ok" })
}
