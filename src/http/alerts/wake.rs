//! `DELETE /v1/alerts/{rule}/snooze`: who is to be told is told again.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::view::{AlertView, rule_of};
use crate::alert::Rule;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

refusals!(AlertNotFound, StoreUnavailable);

/// Wake an alert
///
/// It is snoozed no longer. May be said again. Takes a key that is bound to no tenant.
#[utoipa::path(delete, path = "/v1/alerts/{rule}/snooze", operation_id = "wakeAlert", tag = "alerts",
    params(("rule" = Rule, Path, description = "The rule.")),
    responses((status = 200, description = "How it stands now.", body = AlertView), Refusals))]
pub(in crate::http) async fn wake(
    State(app): State<App>,
    By(caller): By,
    InPath(rule): InPath<String>,
) -> Result<Response, Problem> {
    let alert = app.alerts.snooze(&caller, rule_of(&rule)?, None, None).await?;
    Ok(noted(Json(AlertView::from(alert)).into_response()))
}
