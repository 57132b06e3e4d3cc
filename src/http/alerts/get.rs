//! `GET /v1/alerts/{rule}`: how a rule stands.

use axum::Json;
use axum::extract::State;

use super::view::{AlertView, rule_of};
use crate::alert::Rule;
use crate::http::extract::InPath;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

refusals!(AlertNotFound, StoreUnavailable);

/// One alert
#[utoipa::path(get, path = "/v1/alerts/{rule}", operation_id = "getAlert", tag = "alerts",
    params(("rule" = Rule, Path, description = "The rule.")),
    responses((status = 200, description = "How it stands.", body = AlertView), Refusals))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    InPath(rule): InPath<String>,
) -> Result<Json<AlertView>, Problem> {
    Ok(Json(app.alerts.get(rule_of(&rule)?).await?.into()))
}
