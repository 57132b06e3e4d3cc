//! `GET /v1/agents/{agent}`: whether an agent drains, and how many dispatches of it there are.

use axum::Json;
use axum::extract::State;

use super::view::AgentView;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::AgentName;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

refusals!(StoreUnavailable);

/// See how far an agent is drained
///
/// An agent need not be known: its name is enough.
#[utoipa::path(get, path = "/v1/agents/{agent}", operation_id = "getAgent", tag = "agents",
    params(("agent" = AgentName, Path, description = "The agent's name.")),
    responses((status = 200, description = "Whether it drains, and how many dispatches of it there are.", body = AgentView), Refusals))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    By(caller): By,
    InPath(AgentName(agent)): InPath<AgentName>,
) -> Result<Json<AgentView>, Problem> {
    Ok(Json(app.dispatches.agent_status(caller.tenant(), &agent).await?.into()))
}
