//! An agent as `/v1` shows it, and the one change it has.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::dispatch::AgentStatus;
use crate::http::fields::{AgentName, Timestamp};
use crate::http::idempotency::RequestKey;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;
use crate::name::Name;

/// An agent's name, and what is known of its deploy.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Agent)]
pub(in crate::http) struct AgentView {
    #[schema(value_type = AgentName)]
    agent: String,
    /// Since when no new dispatch of it is made; null where it is not drained.
    #[schema(required)]
    draining_since: Option<Timestamp>,
    /// How many dispatches of it there are; a drained agent's deploy can be taken down at 0.
    dispatches: u64,
}

impl From<AgentStatus> for AgentView {
    fn from(status: AgentStatus) -> Self {
        Self {
            agent: status.agent.as_str().to_owned(),
            draining_since: status.draining_since_ms.map(Timestamp),
            dispatches: status.dispatches,
        }
    }
}

/// Drains the agent, or takes that back.
pub(super) async fn change(
    app: &App,
    caller: &Caller,
    agent: &Name,
    drains: bool,
    key: &RequestKey,
) -> Result<Response, Problem> {
    let once = key.once(caller, if drains { "drain" } else { "undrain" }, agent.as_str());
    let status = app.dispatches.drain_agent(caller.tenant(), agent, drains, once.as_ref()).await?;
    Ok(noted(Json(AgentView::from(status)).into_response()))
}
