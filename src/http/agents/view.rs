//! An agent as `/v1` shows it.

use serde::Serialize;

use crate::dispatch::AgentStatus;
use crate::http::fields::Timestamp;

/// An agent's name, and what is known of its deploy.
#[derive(Debug, Serialize)]
pub(in crate::http) struct AgentView {
    agent: String,
    /// Since when no new dispatch of it is made; null where it is not drained.
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
