//! `POST /api/livekit/webhook`: LiveKit says who came and went.
//!
//! LiveKit sends the events of a room one after the other and repeats one only on 5xx and 429, so
//! the answer decides what happens to it: 503 keeps it until the store is back, anything
//! that no repetition helps is answered 200 and logged.

use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};

use super::door::WebhookRefusal;
use crate::dispatch::DispatchError;
use crate::http::extract::RawBody;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::{Code, Problem};
use crate::http::state::App;

refusals!(LivekitNotConfigured, BadSignature, StoreUnavailable);

/// LiveKit says who came and went
///
/// LiveKit repeats an event on 503. What no repetition helps is answered 200.
#[utoipa::path(post, path = "/api/livekit/webhook", operation_id = "receiveWebhook", tag = "livekit",
    request_body(content = Object, content_type = "application/webhook+json", description = "An event, as LiveKit signed it."),
    security(("LiveKitSignature" = [])),
    responses((status = 200, description = "Taken in, or of no use."), Refusals))]
pub(in crate::http) async fn webhook(
    State(app): State<App>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<StatusCode, Problem> {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let authorization = authorization.ok_or_else(|| Problem::new(Code::BadSignature, "there is no signature"))?;
    match app.livekit()?.receive(authorization, &body) {
        Ok(Some(notice)) => taken_in(app.dispatches.notice(notice).await),
        Ok(None) => Ok(StatusCode::OK),
        Err(refusal) => refused(&refusal),
    }
}

fn taken_in(result: Result<(), DispatchError>) -> Result<StatusCode, Problem> {
    match result {
        Ok(()) | Err(DispatchError::NotFound) => Ok(StatusCode::OK),
        Err(error @ (DispatchError::StoreUnavailable { .. } | DispatchError::Timeout { .. })) => Err(error.into()),
        Err(error) => {
            tracing::error!(cause = %error, "a webhook of LiveKit could not be used");
            Ok(StatusCode::OK)
        }
    }
}

fn refused(refusal: &WebhookRefusal) -> Result<StatusCode, Problem> {
    match refusal {
        WebhookRefusal::BadSignature(_) => Err(Problem::new(Code::BadSignature, "the signature is not valid")),
        WebhookRefusal::Unusable(cause) => {
            tracing::warn!(cause, "a webhook of LiveKit makes no sense");
            Ok(StatusCode::OK)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_a_repetition_helps_is_refused() {
        let status = |result: Result<StatusCode, Problem>| match result {
            Ok(status) => status.as_u16(),
            Err(problem) => problem.code.entry().status.as_u16(),
        };
        assert_eq!(status(taken_in(Ok(()))), 200);
        assert_eq!(status(taken_in(Err(DispatchError::NotFound))), 200);
        assert_eq!(status(taken_in(Err(DispatchError::StoreUnavailable { detail: "x".into() }))), 503);
        assert_eq!(status(taken_in(Err(DispatchError::Timeout { retry_after: Duration::ZERO }))), 503);
        assert_eq!(status(taken_in(Err(DispatchError::Internal { detail: "x".into() }))), 200);
        assert_eq!(status(refused(&WebhookRefusal::BadSignature("x".into()))), 401);
        assert_eq!(status(refused(&WebhookRefusal::Unusable("x".into()))), 200);
    }
}
