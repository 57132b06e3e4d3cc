//! Whether an agent is there, and waiting until it is gone.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Dispatch;
use super::service::Core;
use super::supervisor::Failure;
use crate::provider::{Look, ProviderDispatch, ProviderError};

/// How long an agent whose dispatch was deleted may take to leave before it is removed.
const LEAVE_GRACE: Duration = Duration::from_millis(300);
/// How long a replaced agent may take to be gone; LiveKit itself removes it after three seconds.
const GONE_DEADLINE: Duration = Duration::from_secs(5);

impl Core {
    /// Two agents at work in one room is what must never be: those that were removed must be gone
    /// before another is made. Who does not leave by itself is shown out.
    pub(super) async fn wait_until_gone(
        &self,
        dispatch: &Dispatch,
        first: &Look,
        lost: &CancellationToken,
    ) -> Result<(), Failure> {
        if self.settings.observe_only {
            return Ok(());
        }
        let agent = dispatch.place.agent.as_str();
        let began = Instant::now();
        let mut pause = Duration::from_millis(10);
        let mut look = None;
        loop {
            let lingering: Vec<&str> = look
                .as_ref()
                .unwrap_or(first)
                .agents
                .iter()
                .filter(|present| present.name.as_deref() == Some(agent) || is_job_of(first, agent, &present.identity))
                .map(|present| present.identity.as_str())
                .collect();
            if lingering.is_empty() {
                return Ok(());
            }
            if began.elapsed() > GONE_DEADLINE {
                let detail = "the agent that is to go does not leave the room".to_owned();
                return Err(ProviderError::Unavailable { detail }.into());
            }
            // From here on it may be the agent of whoever has the claim now.
            if lost.is_cancelled() {
                return Err(Failure::Lost);
            }
            if began.elapsed() > LEAVE_GRACE {
                for identity in lingering {
                    self.remove_agent(dispatch, identity).await?;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
            look = Some(self.look(dispatch, false).await?);
        }
    }
}

/// Whether the dispatch's agent is in the room: by its job, or (while no job is listed) by name.
pub(super) fn is_present(dispatch: &ProviderDispatch, look: &Look) -> bool {
    let joined: Vec<&String> = dispatch.job_identities.iter().filter(|identity| !identity.is_empty()).collect();
    look.agents.iter().any(|agent| {
        joined.contains(&&agent.identity) || (joined.is_empty() && agent.name.as_deref() == Some(&dispatch.agent))
    })
}

/// Whether a worker has taken the dispatch: a job that was refused is listed, too, without an identity.
pub(super) fn is_accepted(dispatch: &ProviderDispatch) -> bool {
    dispatch.job_identities.iter().any(|identity| !identity.is_empty())
}

fn is_job_of(look: &Look, agent: &str, identity: &str) -> bool {
    look.dispatches
        .iter()
        .flatten()
        .any(|dispatch| dispatch.agent == agent && dispatch.job_identities.iter().any(|job| job == identity))
}
