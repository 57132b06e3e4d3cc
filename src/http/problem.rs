//! Failures as callers see them: problem documents (RFC 9457), and the one mapping of the
//! domain's errors onto them.
//!
//! A handler returns a [`Problem`]; the shell renders it, for it knows the request's id and
//! which form the route answers in. What is only for us (`cause`) goes to the log.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use super::problem_catalogue::Code;
use super::texts::Wording;
use crate::access::{AccessError, TooFast};
use crate::alert::AlertError;
use crate::breaker::BreakerError;
use crate::dispatch::DispatchError;
use crate::error_report::ReportError;
use crate::lock::LockError;
use crate::pool::PoolError;
use crate::provider::{NO_POOL, ProviderError};

/// How long a caller waits before it repeats what the store or a deadline refused.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// A failure, as a handler returns it.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) code: Code,
    /// For a developer who calls us.
    pub(super) detail: Cow<'static, str>,
    pub(super) retry_after: Option<Duration>,
    /// For our log only.
    pub(super) cause: Option<String>,
}

/// The form in which a route tells its failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A problem document.
    Problem,
    /// `{success: false, message}`, of the contracts that were there before.
    Kept,
}

/// A problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document<'a> {
    #[schema(example = "urn:greenroom:problem:store_unavailable")]
    r#type: String,
    title: &'a str,
    #[schema(minimum = 400, maximum = 599, example = 503)]
    status: u16,
    /// For a developer: what was wrong with this request.
    detail: &'a str,
    /// For programs; stable.
    #[schema(example = "store_unavailable")]
    code: &'static str,
    /// Under it the log has the cause.
    request_id: &'a str,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// When it may, in seconds; left out where it may not.
    #[schema(value_type = u64, required = false, minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
    /// For an end user: says nothing of how the service is built.
    user_message: &'a str,
    /// For a developer or an operator: what to do.
    suggestions: &'a [&'a str],
}

/// A failure of the browser contract.
#[derive(Serialize, ToSchema)]
#[schema(as = Failure)]
pub(super) struct KeptFailure<'a> {
    success: bool,
    /// What was wrong, or from 500 on what an end user may be told.
    message: &'a str,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let retry_after = code.entry().retryable.then_some(RETRY_SOON);
        Self { code, detail: detail.into(), retry_after, cause: None }
    }

    fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// A defect of ours; the caller learns only that.
    pub(super) fn internal(cause: impl Into<String>) -> Self {
        Self::new(Code::Internal, "the service failed; its log has the cause under this request_id").cause(cause)
    }

    /// Whole seconds, rounded up: a caller that waits so long is not too early.
    fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after
            .map(|after| after.as_secs() + u64::from(after.subsec_nanos() > 0))
            .map(|seconds| seconds.max(1))
    }

    /// The answer, in these words.
    pub(super) fn render(&self, request_id: &str, form: Form, wording: &Wording<'_>) -> Response {
        let entry = self.code.entry();
        let mut response = match form {
            Form::Kept => {
                let message = if entry.status.is_server_error() { wording.user_message } else { &self.detail };
                Json(KeptFailure { success: false, message }).into_response()
            }
            Form::Problem => {
                let mut response = Json(self.document(request_id, wording)).into_response();
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
                response
            }
        };
        *response.status_mut() = entry.status;
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if entry.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"greenroom\""));
        }
        response
    }

    fn document<'a>(&'a self, request_id: &'a str, wording: &'a Wording<'a>) -> Document<'a> {
        let entry = self.code.entry();
        Document {
            r#type: format!("urn:greenroom:problem:{}", entry.code),
            title: wording.title,
            status: entry.status.as_u16(),
            detail: &self.detail,
            code: entry.code,
            request_id,
            retryable: entry.retryable,
            retry_after_seconds: self.retry_after_seconds(),
            user_message: wording.user_message,
            suggestions: &wording.suggestions,
        }
    }
}

/// Hands the problem to the shell, which renders it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.entry().status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<DispatchError> for Problem {
    fn from(error: DispatchError) -> Self {
        match error {
            DispatchError::NotFound => Self::new(Code::DispatchNotFound, "there is no dispatch of that id or name"),
            DispatchError::Ended => Self::new(Code::DispatchEnded, "the dispatch is over"),
            DispatchError::StaleToken => {
                Self::new(Code::StaleToken, "the token is not the current one: its bearer was replaced")
            }
            DispatchError::BadToken => Self::new(Code::BadToken, "the token was not made for this dispatch"),
            DispatchError::Ending => Self::new(Code::DispatchEnding, "the dispatch is ending"),
            DispatchError::KeyReused => {
                Self::new(Code::IdempotencyKeyReused, "this `Idempotency-Key` was sent with another request")
            }
            DispatchError::UnderWay => {
                Self::new(Code::RequestUnderWay, "the request with this `Idempotency-Key` is still under way")
            }
            DispatchError::Draining => {
                Self::new(Code::AgentDraining, "the agent drains: no new dispatch of it is made")
            }
            DispatchError::TooMany { bound, retry_after } => {
                let detail = format!("as many dispatches of this {bound} live as may");
                Self::new(Code::TooManyDispatches, detail).retry_after(retry_after)
            }
            DispatchError::Provider { source: ProviderError::ObserveOnly, .. } => {
                Self::new(Code::ObserveOnly, "this service only observes: it changes nothing at the provider")
            }
            DispatchError::Provider {
                source: ProviderError::BreakerOpen { breaker, retry_after: left },
                retry_after,
            } => {
                let detail = format!("the provider has failed too often: the breaker {breaker} is open");
                Self::new(Code::ProviderUnavailable, detail).retry_after(left.max(retry_after))
            }
            DispatchError::Provider { source: ProviderError::Exhausted, retry_after } => {
                Self::new(Code::NoReadyWorker, "no worker of the pool was ready in time").retry_after(retry_after)
            }
            DispatchError::Provider { source: ProviderError::Rejected { code, .. }, .. } if code == NO_POOL => {
                PoolError::NotFound.into()
            }
            DispatchError::Provider { source, retry_after } if source.is_retryable() => {
                Self::new(Code::ProviderUnavailable, source.to_string())
                    .retry_after(retry_after)
                    .cause(source.to_string())
            }
            DispatchError::Provider { source, .. } => {
                Self::new(Code::ProviderRejected, source.to_string()).cause(source.to_string())
            }
            DispatchError::Timeout { retry_after } => {
                Self::new(Code::Timeout, "nothing was decided in time; it may be soon").retry_after(retry_after)
            }
            DispatchError::ReservedRoom => Self::new(
                Code::InvalidRequest,
                "a room's name must not begin with letters, digits, '_', '.' or '-' and then '::'",
            ),
            DispatchError::BadCursor => Self::new(Code::BadCursor, "the cursor is not one of this list"),
            DispatchError::StoreUnavailable { detail } => {
                Self::new(Code::StoreUnavailable, "the store is not reachable, or takes no writes now").cause(detail)
            }
            DispatchError::Internal { detail } => Self::internal(detail),
        }
    }
}

impl From<LockError> for Problem {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Busy { owner, left } => {
                Self::new(Code::LockHeld, format!("it is held by {owner}")).retry_after(left)
            }
            LockError::Lost => Self::new(Code::LeaseLost, "this owner does not hold the lock by this token"),
            LockError::Free => Self::new(Code::LockNotHeld, "nobody holds a lock of that name"),
            LockError::Store(error) => DispatchError::from(error).into(),
        }
    }
}

impl From<BreakerError> for Problem {
    fn from(error: BreakerError) -> Self {
        match error {
            BreakerError::NotFound => Self::new(Code::BreakerNotFound, "there is no breaker of that name"),
            BreakerError::Own => Self::new(Code::BreakerOwned, "only this service's own calls go through this breaker"),
            BreakerError::TooMany => Self::new(Code::TooManyBreakers, "there are as many breakers as there may be"),
            BreakerError::BadCursor => DispatchError::BadCursor.into(),
            BreakerError::KeyReused => DispatchError::KeyReused.into(),
            BreakerError::StoreUnavailable { detail } => DispatchError::StoreUnavailable { detail }.into(),
            BreakerError::Internal { detail } => Self::internal(detail),
        }
    }
}

impl From<TooFast> for Problem {
    fn from(TooFast(quota): TooFast) -> Self {
        let detail = format!("more than the {} calls a second that this caller may make", quota.per_second);
        Self::new(Code::RateLimited, detail)
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Unauthorized => Self::new(Code::Unauthorized, "the API key is missing or wrong"),
            AccessError::TooManyWrong => {
                Self::new(Code::RateLimited, "this address has shown too many wrong keys in this second")
            }
            AccessError::Forbidden => Self::new(Code::Forbidden, "the key is bound to another tenant"),
            AccessError::NotFound => Self::new(Code::KeyNotFound, "there is no API key of that id"),
            AccessError::BadCursor => DispatchError::BadCursor.into(),
            AccessError::StoreUnavailable { detail } => DispatchError::StoreUnavailable { detail }.into(),
            AccessError::Internal { detail } => Self::internal(detail),
        }
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::NotFound => Self::new(Code::ErrorNotFound, "there is no group of failures of that id"),
            ReportError::BadCursor => DispatchError::BadCursor.into(),
            ReportError::KeyReused => DispatchError::KeyReused.into(),
            ReportError::StoreUnavailable { detail } => DispatchError::StoreUnavailable { detail }.into(),
            ReportError::Internal { detail } => Self::internal(detail),
        }
    }
}

impl From<AlertError> for Problem {
    fn from(error: AlertError) -> Self {
        match error {
            AlertError::Forbidden => {
                Self::new(Code::Forbidden, "alerts concern all tenants: a key that is bound to one may only look")
            }
            AlertError::KeyReused => DispatchError::KeyReused.into(),
            AlertError::StoreUnavailable { detail } => DispatchError::StoreUnavailable { detail }.into(),
            AlertError::Internal { detail } => Self::internal(detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Bound;

    fn mapped(error: DispatchError) -> (u16, &'static str, Option<u64>) {
        let problem = Problem::from(error);
        let entry = problem.code.entry();
        (entry.status.as_u16(), entry.code, problem.retry_after_seconds())
    }

    #[test]
    fn every_error_of_the_domain_has_its_problem() {
        let after = Duration::from_millis(2_500);
        let unavailable = ProviderError::Unavailable { detail: "503".into() };
        let rejected = ProviderError::Rejected { code: "unauthenticated".into(), detail: "no".into() };
        let open = ProviderError::BreakerOpen { breaker: "livekit.look".into(), retry_after: Duration::from_secs(20) };
        let provider = |source| DispatchError::Provider { source, retry_after: after };
        for (error, expected) in [
            (DispatchError::NotFound, (404, "dispatch_not_found", None)),
            (DispatchError::Ended, (410, "dispatch_ended", None)),
            (DispatchError::StaleToken, (409, "stale_token", None)),
            (DispatchError::BadToken, (401, "bad_token", None)),
            (DispatchError::Ending, (409, "dispatch_ending", Some(1))),
            (DispatchError::KeyReused, (422, "idempotency_key_reused", None)),
            (DispatchError::UnderWay, (409, "request_under_way", Some(1))),
            (DispatchError::Draining, (409, "agent_draining", None)),
            (DispatchError::TooMany { bound: Bound::Agent, retry_after: after }, (429, "too_many_dispatches", Some(3))),
            (provider(ProviderError::ObserveOnly), (409, "observe_only", None)),
            (provider(unavailable), (503, "provider_unavailable", Some(3))),
            (provider(rejected), (502, "provider_rejected", None)),
            (provider(open), (503, "provider_unavailable", Some(20))),
            (DispatchError::Timeout { retry_after: Duration::ZERO }, (503, "timeout", Some(1))),
            (DispatchError::BadCursor, (400, "bad_cursor", None)),
            (DispatchError::StoreUnavailable { detail: "x".into() }, (503, "store_unavailable", Some(1))),
            (DispatchError::Internal { detail: "x".into() }, (500, "internal", None)),
        ] {
            assert_eq!(mapped(error.clone()), expected, "{error:?}");
        }
    }

    async fn rendered(problem: &Problem, form: Form) -> (Response, serde_json::Value) {
        let texts = crate::http::texts::Texts::default();
        let response = problem.render("req-1", form, &texts.of_code(problem.code, None));
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (Response::from_parts(parts, axum::body::Body::empty()), serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_document_has_all_its_members_and_keeps_the_cause_to_itself() {
        let problem = Problem::from(DispatchError::StoreUnavailable { detail: "redis://10.0.0.7 refused".into() });
        let (response, body) = rendered(&problem, Form::Problem).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(body["type"], "urn:greenroom:problem:store_unavailable");
        assert_eq!(
            (&body["status"], &body["retryable"], &body["retry_after_seconds"]),
            (&503.into(), &true.into(), &1.into())
        );
        assert_eq!((&body["code"], &body["request_id"]), (&"store_unavailable".into(), &"req-1".into()));
        for member in ["title", "detail", "user_message"] {
            assert!(!body[member].as_str().unwrap().is_empty(), "{member}");
        }
        assert!(!body["suggestions"].as_array().unwrap().is_empty());
        assert!(!body.to_string().contains("10.0.0.7"));
        assert_eq!(problem.cause.as_deref(), Some("redis://10.0.0.7 refused"));
    }

    #[tokio::test]
    async fn the_kept_contracts_keep_their_form() {
        let (response, body) = rendered(&Problem::new(Code::InvalidRequest, "roomName is missing"), Form::Kept).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()[CONTENT_TYPE]),
            (422, &HeaderValue::from_static("application/json"))
        );
        assert_eq!(body, serde_json::json!({"success": false, "message": "roomName is missing"}));
        let (response, body) = rendered(&Problem::internal("secret"), Form::Kept).await;
        assert_eq!((response.status().as_u16(), &body["message"]), (500, &Code::Internal.entry().user_message.into()));
    }

    #[tokio::test]
    async fn who_is_not_known_is_told_how_to_be() {
        let (response, _) = rendered(&Problem::new(Code::Unauthorized, "no key"), Form::Problem).await;
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer realm=\"greenroom\"");
    }
}
