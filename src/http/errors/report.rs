//! `POST /v1/errors`: takes in a failure of a worker, an agent or another service.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error_report::{GroupId, Report};
use crate::http::auth::By;
use crate::http::fields::{CategoryName, ErrorContext, ErrorText, HttpStatus, Label, SeverityName, StackText};
use crate::http::idempotency::{KeyedJson, RequestKey};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

/// What failed. Secrets that are recognised are masked; do not rely on it.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ErrorReport, example = json!({"operation": "tts.synthesize", "message": "connect ETIMEDOUT 10.0.0.7:443 after 5000ms", "code": "ETIMEDOUT", "service": "voice-agent", "context": {"room": "lobby"}}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Request {
    /// What failed, the same each time: `tts.synthesize`.
    operation: Label,
    message: ErrorText,
    /// Its kind; guessed of code, status and message where it is left out.
    category: Option<CategoryName>,
    /// How bad it is; as bad as its category usually is where it is left out.
    severity: Option<SeverityName>,
    /// Whether the same may succeed later; as its category usually is where it is left out.
    retryable: Option<bool>,
    /// The code that a library or a protocol gave it.
    code: Option<Label>,
    status: Option<HttpStatus>,
    /// Who reports.
    service: Option<Label>,
    stack: Option<StackText>,
    #[serde(default)]
    #[schema(required = false)]
    context: ErrorContext,
}

/// What it counts as, and where it went.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorReported)]
struct Answer {
    /// Its group.
    #[schema(value_type = GroupId)]
    id: String,
    #[schema(value_type = CategoryName)]
    category: &'static str,
    #[schema(value_type = SeverityName)]
    severity: &'static str,
    /// Whether the same may succeed later.
    retryable: bool,
    /// How many failures its group has, with this one.
    count: u64,
    /// For an end user.
    user_message: String,
    /// For a developer or an operator.
    suggestions: Vec<String>,
}

refusals!(StoreUnavailable);

/// Report a failure
///
/// It is put in its category and counted in its group: failures of one operation and category whose messages differ
/// in nothing but numbers, ids, addresses, quoted texts, paths and times.
#[utoipa::path(post, path = "/v1/errors", operation_id = "reportError", tag = "errors",
    params(RequestKey), request_body = Request,
    responses(
        (status = 201, description = "The first one of its group.", body = Answer),
        (status = 200, description = "One more of its group.", body = Answer),
        Refusals))]
pub(in crate::http) async fn report(
    State(app): State<App>,
    By(caller): By,
    headers: HeaderMap,
    KeyedJson(request, key): KeyedJson<Request>,
) -> Result<Response, Problem> {
    let once = key.once(&caller, "report error", "");
    let reported = app.errors.report(caller.tenant(), &request.into(), once.as_ref()).await?;
    let wording = app.texts.of_category(reported.class.category, app.texts.language(&headers));
    let answer = Answer {
        id: reported.id.to_string(),
        category: reported.class.category.as_str(),
        severity: reported.class.severity.as_str(),
        retryable: reported.class.retryable,
        count: reported.count,
        user_message: wording.user_message.to_owned(),
        suggestions: wording.suggestions.into_iter().map(str::to_owned).collect(),
    };
    let status = if reported.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(answer)).into_response())
}

impl From<Request> for Report {
    fn from(request: Request) -> Self {
        Self {
            operation: request.operation.0,
            message: request.message.0,
            category: request.category.map(|category| category.0),
            severity: request.severity.map(|severity| severity.0),
            retryable: request.retryable,
            code: request.code.map(|code| code.0),
            status: request.status.map(|status| status.0),
            service: request.service.map(|service| service.0),
            stack: request.stack.map(|stack| stack.0),
            context: request.context.0,
        }
    }
}
