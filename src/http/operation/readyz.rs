//! `GET /readyz`: whether requests should be sent here: Redis answers, the schema is right, and
//! the replica is not on its way out.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use tracing::field::Empty;
use utoipa::ToSchema;

use crate::http::state::App;

/// A probe that asks often must be answered before it gives up; most give up after a second.
const CHECK_TIMEOUT: Duration = Duration::from_millis(800);

/// Something that must hold; an error says, for the log, why it does not.
pub type Check = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What must hold for the replica to be ready, besides that it is not on its way out.
#[derive(Default)]
pub struct Readiness {
    checks: Vec<(&'static str, Check)>,
}

impl Readiness {
    /// Nothing but that.
    pub fn new() -> Self {
        Self::default()
    }

    /// This as well, under this name.
    #[must_use]
    pub fn with(mut self, name: &'static str, check: Check) -> Self {
        self.checks.push((name, check));
        self
    }

    async fn ask(&self) -> BTreeMap<&'static str, bool> {
        let checks = self.checks.iter().map(|(name, check)| async move {
            let failure = match tokio::time::timeout(CHECK_TIMEOUT, check()).await {
                Ok(Ok(())) => None,
                Ok(Err(cause)) => Some(cause),
                Err(_) => Some("no answer in time".to_owned()),
            };
            if let Some(cause) = &failure {
                tracing::warn!(line.notice = Empty, check = name, cause, "not ready");
            }
            (*name, failure.is_none())
        });
        join_all(checks).await.into_iter().collect()
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.checks.iter().map(|(name, _)| name)).finish()
    }
}

/// Whether it is ready, and what holds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Readiness)]
pub(in crate::http) struct Answer {
    ready: bool,
    /// Whether the replica is on its way out.
    draining: bool,
    /// `ok` or `failing`, by the name of what is checked.
    checks: BTreeMap<&'static str, &'static str>,
}

/// Whether requests should be sent here
#[utoipa::path(get, path = "/readyz", operation_id = "getReadiness", tag = "operation", responses(
    (status = 200, description = "Redis answers, the schema is right, the replica is not stopping.", body = Answer),
    (status = 503, description = "Not so; `checks` says what fails.", body = Answer),
))]
pub(in crate::http) async fn readyz(State(app): State<App>) -> (StatusCode, Json<Answer>) {
    answer(app.shutdown.is_draining(), &app.readiness).await
}

async fn answer(draining: bool, readiness: &Readiness) -> (StatusCode, Json<Answer>) {
    let held = readiness.ask().await;
    let ready = !draining && held.values().all(|held| *held);
    let checks = held.into_iter().map(|(name, held)| (name, if held { "ok" } else { "failing" })).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Answer { ready, draining, checks }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(result: Result<(), &'static str>) -> Check {
        Box::new(move || Box::pin(async move { result.map_err(str::to_owned) }))
    }

    async fn told(draining: bool, readiness: &Readiness) -> (u16, serde_json::Value) {
        let (status, Json(answer)) = answer(draining, readiness).await;
        (status.as_u16(), serde_json::to_value(answer).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn ready_is_when_everything_holds() {
        let good = Readiness::new().with("redis", check(Ok(()))).with("schema", check(Ok(())));
        let all = json!({"redis": "ok", "schema": "ok"});
        assert_eq!(told(false, &good).await, (200, json!({"ready": true, "draining": false, "checks": all})));
        assert_eq!(told(true, &good).await, (503, json!({"ready": false, "draining": true, "checks": all})));

        let failing = Readiness::new().with("redis", check(Err("refused by 10.0.0.7"))).with("schema", check(Ok(())));
        let one = json!({"redis": "failing", "schema": "ok"});
        assert_eq!(told(false, &failing).await, (503, json!({"ready": false, "draining": false, "checks": one})));

        let hanging = Readiness::new().with("redis", Box::new(|| Box::pin(std::future::pending())));
        assert_eq!(told(false, &hanging).await.0, 503);
    }
}
