//! `POST /v1/alerts/{rule}/snooze`: nobody is told that the rule is raised, for a while.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::{AlertView, rule_of};
use crate::alert::Rule;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::SnoozeSeconds;
use crate::http::idempotency::{KeyedJson, RequestKey};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

/// For how long.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Snooze)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Request {
    seconds: SnoozeSeconds,
}

refusals!(AlertNotFound, StoreUnavailable);

/// Snooze an alert
///
/// Nobody is told that it is raised, from now on for so long; said again, it counts from then on. It is judged all the
/// same, and told when the time is over if it is raised then and was not told before. Takes a key that is bound to no
/// tenant.
#[utoipa::path(post, path = "/v1/alerts/{rule}/snooze", operation_id = "snoozeAlert", tag = "alerts",
    params(RequestKey, ("rule" = Rule, Path, description = "The rule.")), request_body = Request,
    responses((status = 200, description = "How it stands now.", body = AlertView), Refusals))]
pub(in crate::http) async fn snooze(
    State(app): State<App>,
    By(caller): By,
    InPath(rule): InPath<String>,
    KeyedJson(request, key): KeyedJson<Request>,
) -> Result<Response, Problem> {
    let rule = rule_of(&rule)?;
    let once = key.once(&caller, "snooze", rule.as_str());
    let length = Duration::from_secs(request.seconds.0.into());
    let alert = app.alerts.snooze(&caller, rule, Some(length), once.as_ref()).await?;
    Ok(noted(Json(AlertView::from(alert)).into_response()))
}
