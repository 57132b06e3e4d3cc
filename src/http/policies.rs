//! `GET /v1/policies`: how long operations may take and when they are tried again, for workers and clients.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::openapi::refusals::refusals;
use super::problem::Problem;
use super::state::App;
use crate::config::Config;
use crate::policy::{self, Operation, Retry};

/// Settings are read at start, so an answer may be kept a while; a minute bounds a roll-out of others.
const KEPT: HeaderValue = HeaderValue::from_static("private, max-age=60");

/// What is answered, made once.
#[derive(Debug, Clone)]
pub struct Policies {
    body: String,
    tag: HeaderValue,
}

/// The policies of this service.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Policies)]
pub(in crate::http) struct PoliciesView {
    operations: Vec<OperationView>,
    retry_budget: BudgetView,
}

/// An operation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperationPolicy)]
struct OperationView {
    /// Its name; stable.
    #[schema(example = "language_model")]
    operation: &'static str,
    description: &'static str,
    /// Null where what it bounds has its own.
    #[schema(required)]
    timeout: Option<TimeoutView>,
    /// Null where it is not to be tried again.
    #[schema(required)]
    retry: Option<RetryView>,
}

/// How long it may take.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimeoutPolicy)]
struct TimeoutView {
    ms: u64,
    /// The least it can be set to.
    ms_min: u64,
    /// The most it can be set to.
    ms_max: u64,
    /// The setting of this service that has it.
    #[schema(example = "timeouts.language_model_ms")]
    setting: &'static str,
}

/// When it is tried again. The pause before the nth repetition is drawn evenly between 0 and the smaller of
/// `pause_ms_max` and `pause_ms` × 2ⁿ⁻¹; `Retry-After` makes it longer. What cannot succeed (4xx but 408, 425 and 429) is
/// not tried again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetryPolicy)]
struct RetryView {
    /// In all, the first among them.
    attempts: u32,
    pause_ms: u64,
    pause_ms_max: u64,
}

/// What all repetitions of a caller at one dependency together keep to: in each window at most this share of the first
/// attempts, or the floor where that is more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetryBudget)]
struct BudgetView {
    percent: u32,
    floor: u32,
    window_seconds: u32,
}

impl Policies {
    /// As the settings have them.
    pub fn new(config: &Config) -> Self {
        let operations = Operation::ALL.iter().filter(|operation| operation.is_for_callers());
        let view = PoliciesView {
            operations: operations.map(|operation| OperationView::new(*operation, config)).collect(),
            retry_budget: BudgetView {
                percent: policy::PERCENT,
                floor: policy::FLOOR,
                window_seconds: policy::WINDOW_SECONDS,
            },
        };
        // Names and numbers are always JSON.
        let body = serde_json::to_string(&view).unwrap_or_default();
        let digest = u64::from_be_bytes(Sha256::digest(&body)[..8].try_into().unwrap_or_default());
        let tag = HeaderValue::try_from(format!("\"{digest:016x}\"")).unwrap_or(HeaderValue::from_static("\"0\""));
        Self { body, tag }
    }
}

impl OperationView {
    fn new(operation: Operation, config: &Config) -> Self {
        let timeout = operation.timeout(config).map(|timeout| {
            let policy::Timeout { ms, ms_min, ms_max, setting, .. } = timeout;
            TimeoutView { ms, ms_min, ms_max, setting }
        });
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let retry = operation.retry().map(|Retry { attempts, pause, pause_max, .. }| RetryView {
            attempts,
            pause_ms: ms(pause),
            pause_ms_max: ms(pause_max),
        });
        Self { operation: operation.as_str(), description: operation.what(), timeout, retry }
    }
}

refusals!(StoreUnavailable);

/// Read the time-outs and retries
///
/// By operation, so that all workers and clients go by the same ones. Open to every good key, whatever its scopes.
#[utoipa::path(get, path = "/v1/policies", operation_id = "getPolicies", tag = "policies",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of an answer that is there already.")),
    responses(
        (status = 200, description = "The policies.", body = PoliciesView, headers(("ETag" = String, description = "Names this answer."))),
        (status = 304, description = "They are those that the caller has.", headers(("ETag" = String, description = "Names the answer."))),
        Refusals,
    ))]
pub(in crate::http) async fn policies(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let Policies { body, tag } = &app.policies;
    let is_known = |value: &HeaderValue| {
        let tags = value.to_str().unwrap_or_default().split(',').map(|tag| tag.trim().trim_start_matches("W/"));
        tags.into_iter().any(|known| known == "*" || known.as_bytes() == tag.as_bytes())
    };
    let mut response = if headers.get_all(IF_NONE_MATCH).iter().any(is_known) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, "application/json")], Body::from(body.clone())).into_response()
    };
    response.headers_mut().insert(ETAG, tag.clone());
    response.headers_mut().insert(CACHE_CONTROL, KEPT);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn told(env: &[(&str, &str)]) -> (Value, HeaderValue) {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let policies = Policies::new(&Config::load(None, env).unwrap());
        (serde_json::from_str(&policies.body).unwrap(), policies.tag)
    }

    #[test]
    fn callers_are_told_what_is_theirs_as_it_is_set() {
        let (body, tag) = told(&[("GREENROOM_TIMEOUTS_LANGUAGE_MODEL_MS", "90000")]);
        let find = |name: &str| body["operations"].as_array().unwrap().iter().find(|it| it["operation"] == name);
        let model = find("language_model").unwrap();
        assert_eq!((&model["timeout"]["ms"], &model["timeout"]["ms_max"]), (&90_000.into(), &600_000.into()));
        let retry = serde_json::json!({"attempts": 3, "pause_ms": 2000, "pause_ms_max": 60000});
        assert_eq!(model["retry"], retry);
        assert!(find("telemetry").unwrap()["timeout"].is_null() && find("agent_execution").unwrap()["retry"].is_null());
        assert!(find("redis_command").is_none(), "how this service reaches its own is nobody's business");
        assert_eq!((told(&[]).1 == tag, told(&[]).1 == told(&[]).1), (false, true));
    }
}
