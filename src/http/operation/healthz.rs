//! `GET /healthz`: the process answers. It asks nobody else: a restart mends no Redis.

use axum::Json;
use serde_json::{Value, json};

pub(in crate::http) async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}
