//! `POST /v1/breakers/{breaker}/reset`: closes a breaker as if it were new.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::view::BreakerView;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::BreakerName;
use crate::http::idempotency::RequestKey;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

refusals!(BreakerNotFound, StoreUnavailable);

/// Reset a breaker
///
/// Closes it as if it were new: what was counted and what was forced is forgotten; its rules and history are not.
#[utoipa::path(post, path = "/v1/breakers/{breaker}/reset", operation_id = "resetBreaker", tag = "breakers",
    params(RequestKey, ("breaker" = BreakerName, Path, description = "The breaker's name.")),
    responses((status = 200, description = "The breaker as it is now.", body = BreakerView), Refusals))]
pub(in crate::http) async fn reset(
    State(app): State<App>,
    By(caller): By,
    InPath(BreakerName(name)): InPath<BreakerName>,
    key: RequestKey,
) -> Result<Response, Problem> {
    let once = key.once(&caller, "breaker_reset", name.as_str());
    let reset = app.breakers.reset(caller.tenant(), &name, once.as_ref()).await?;
    Ok(noted(Json(BreakerView::from(reset)).into_response()))
}
