//! `GET /v1/alerts`: every rule, and how it stands.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::AlertView;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

/// Every rule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alerts)]
pub(in crate::http) struct Answer {
    alerts: Vec<AlertView>,
}

refusals!(StoreUnavailable);

/// Every alert
///
/// They are judged over all replicas and all tenants.
#[utoipa::path(get, path = "/v1/alerts", operation_id = "listAlerts", tag = "alerts",
    responses((status = 200, description = "Every rule, and how it stands.", body = Answer), Refusals))]
pub(in crate::http) async fn list(State(app): State<App>) -> Result<Json<Answer>, Problem> {
    let alerts = app.alerts.list().await?.into_iter().map(AlertView::from).collect();
    Ok(Json(Answer { alerts }))
}
