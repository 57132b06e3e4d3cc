//! `POST /v1/breakers/{breaker}/force`: holds a breaker in a state, or lets it go.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::BreakerView;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::{BreakerName, ForceSeconds, ForceTo, Note};
use crate::http::idempotency::{KeyedJson, RequestKey};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

/// The state to hold it in.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ForceRequest, example = json!({"state": "open", "duration_seconds": 600, "reason": "maintenance at the provider"}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Request {
    state: ForceTo,
    /// For how long; without it until it is let go.
    duration_seconds: Option<ForceSeconds>,
    /// Why, for whoever wonders.
    reason: Option<Note>,
}

refusals!(BreakerNotFound, StoreUnavailable);

/// Hold a breaker in a state
///
/// `open`: no call may be made; `closed`: all may; `disabled`: all may, and are counted; `auto` lets it go, and what was
/// held open is probed first. On every replica within a second.
#[utoipa::path(post, path = "/v1/breakers/{breaker}/force", operation_id = "forceBreaker", tag = "breakers",
    params(RequestKey, ("breaker" = BreakerName, Path, description = "The breaker's name.")),
    request_body = Request,
    responses((status = 200, description = "The breaker as it is now.", body = BreakerView), Refusals))]
pub(in crate::http) async fn force(
    State(app): State<App>,
    By(caller): By,
    InPath(BreakerName(name)): InPath<BreakerName>,
    KeyedJson(request, key): KeyedJson<Request>,
) -> Result<Response, Problem> {
    let once = key.once(&caller, "breaker_force", name.as_str());
    let lasts = request.duration_seconds.map(|seconds| Duration::from_secs(seconds.0.into()));
    let note = request.reason.as_ref().map(|note| note.0.as_str()).unwrap_or_default();
    let tenant = caller.tenant();
    let forced = app.breakers.force(tenant, &name, request.state.0, (lasts, note), once.as_ref()).await?;
    Ok(noted(Json(BreakerView::from(forced)).into_response()))
}
