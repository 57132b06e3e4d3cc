//! `POST /v1/agents/{agent}/drain`: no new dispatch of the agent is made, those that run go on.

use axum::extract::State;
use axum::response::Response;

use super::view::{AgentView, change};
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::AgentName;
use crate::http::idempotency::RequestKey;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

refusals!(StoreUnavailable);

/// Drain an agent
///
/// No new dispatch of it is made, on any replica within a second; those that run go on. May be said again.
#[utoipa::path(post, path = "/v1/agents/{agent}/drain", operation_id = "drainAgent", tag = "agents",
    params(RequestKey, ("agent" = AgentName, Path, description = "The agent's name.")),
    responses((status = 200, description = "The agent as it is now.", body = AgentView), Refusals))]
pub(in crate::http) async fn drain(
    State(app): State<App>,
    By(caller): By,
    InPath(AgentName(agent)): InPath<AgentName>,
    key: RequestKey,
) -> Result<Response, Problem> {
    change(&app, &caller, &agent, true, &key).await
}
