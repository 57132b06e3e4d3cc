//! `POST /v1/breakers/{breaker}/report`: how a call ended that was permitted.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::view::BreakerState;
use crate::breaker::Verdict;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::{BreakerName, CallOutcome, Count, FencingToken, PermitId};
use crate::http::idempotency::{KeyedJson, RequestKey};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

/// How the call ended.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CallReport)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Request {
    outcome: CallOutcome,
    /// That of the permit.
    generation: FencingToken,
    /// That of the permit.
    permit: PermitId,
    /// How long the call took.
    #[schema(value_type = Option<u64>, maximum = 4_294_967_295_u64)]
    duration_ms: Option<Count>,
}

/// What came of the report.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallReported)]
pub(in crate::http) struct Answer {
    /// Whether it counts: not where the breaker has changed its state since, or the permit has lapsed.
    counted: bool,
    state: BreakerState,
    generation: u64,
}

refusals!(BreakerNotFound, BreakerOwned, StoreUnavailable);

/// Report a call
///
/// A late report, of a generation that is over or a permit that lapsed, changes nothing. With an `Idempotency-Key` a
/// report counts once however often it is sent.
#[utoipa::path(post, path = "/v1/breakers/{breaker}/report", operation_id = "reportCall", tag = "breakers",
    params(RequestKey, ("breaker" = BreakerName, Path, description = "The breaker's name.")),
    request_body = Request,
    responses((status = 200, description = "What came of it.", body = Answer), Refusals))]
pub(in crate::http) async fn report(
    State(app): State<App>,
    By(caller): By,
    InPath(BreakerName(name)): InPath<BreakerName>,
    KeyedJson(request, key): KeyedJson<Request>,
) -> Result<Json<Answer>, Problem> {
    let once = key.once(&caller, "breaker_report", name.as_str());
    let took = request.duration_ms.map(|took| Duration::from_millis(took.0.into()));
    let of = (request.generation.0, request.permit.0.as_str());
    let ended = (request.outcome.0, took);
    let answer = app.breakers.report(caller.tenant(), &name, of, ended, once.as_ref()).await?;
    Ok(Json(Answer {
        counted: answer.verdict == Verdict::Counted,
        state: answer.state.into(),
        generation: answer.generation,
    }))
}
