//! `/api/livekit`: the contracts of browsers, and LiveKit's webhooks.

pub(super) mod agent_status;
pub(super) mod dispatch_agent;
pub(super) mod door;
mod page;
pub(super) mod webhook;
