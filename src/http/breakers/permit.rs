//! `POST /v1/breakers/{breaker}/permit`: asks whether a call may be made.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rules::RulesView;
use super::view::BreakerState;
use crate::breaker::{Permit, Rules, Verdict};
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::BreakerName;
use crate::http::idempotency::{KeyedJson, RequestKey};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

/// What the breaker is to be like.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PermitRequest)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Request {
    /// Its rules from now on; a breaker that is not there is made with these, or with those that greenroom ships.
    rules: Option<RulesView>,
}

/// Whether the call may be made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Permit)]
pub(in crate::http) struct Answer {
    /// Whether the call may be made.
    allowed: bool,
    state: BreakerState,
    /// For the report.
    generation: u64,
    /// For the report; null where the call may not be made.
    #[schema(required)]
    permit: Option<String>,
    /// Within which time a probe must be reported, or another is let through in its place; null where the call is none.
    #[schema(required)]
    report_within_ms: Option<u64>,
    /// When asking again makes sense; null where the call may be made.
    #[schema(required)]
    retry_after_ms: Option<u64>,
}

refusals!(BreakerOwned, TooManyBreakers, StoreUnavailable);

/// Ask for a call
///
/// An open breaker is an answer (200, `allowed: false`), no error. Make the call only where it is allowed, and report
/// how it ended.
#[utoipa::path(post, path = "/v1/breakers/{breaker}/permit", operation_id = "permitCall", tag = "breakers",
    params(RequestKey, ("breaker" = BreakerName, Path, description = "The breaker's name.")),
    request_body = Request,
    responses((status = 200, description = "Whether the call may be made.", body = Answer), Refusals))]
pub(in crate::http) async fn permit(
    State(app): State<App>,
    By(caller): By,
    InPath(BreakerName(name)): InPath<BreakerName>,
    KeyedJson(request, key): KeyedJson<Request>,
) -> Result<Json<Answer>, Problem> {
    let once = key.once(&caller, "breaker_permit", name.as_str());
    let rules = request.rules.map(Rules::try_from).transpose()?;
    Ok(Json(app.breakers.permit(caller.tenant(), &name, rules.as_ref(), once.as_ref()).await?.into()))
}

impl From<Permit> for Answer {
    fn from(permit: Permit) -> Self {
        let (allowed, answer) = (permit.is_allowed(), permit.answer);
        let wait_ms = u64::try_from(answer.wait.as_millis()).unwrap_or(u64::MAX);
        Self {
            allowed,
            state: answer.state.into(),
            generation: answer.generation,
            permit: allowed.then_some(permit.id),
            report_within_ms: (answer.verdict == Verdict::Probe).then_some(wait_ms),
            retry_after_ms: (!allowed).then_some(wait_ms),
        }
    }
}
