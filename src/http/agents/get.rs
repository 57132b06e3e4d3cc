//! `GET /v1/agents/{agent}`: whether an agent drains, and how many dispatches of it there are.

use axum::Json;
use axum::extract::State;

use super::view::AgentView;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::AgentName;
use crate::http::problem::Problem;
use crate::http::state::App;

pub(in crate::http) async fn get(
    State(app): State<App>,
    By(caller): By,
    InPath(AgentName(agent)): InPath<AgentName>,
) -> Result<Json<AgentView>, Problem> {
    Ok(Json(app.dispatches.agent_status(caller.tenant(), &agent).await?.into()))
}
