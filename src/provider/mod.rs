//! Who serves a dispatch: a real LiveKit server, a simulation of one, or a pool of warm workers.
//!
//! A provider is asked small questions and told small things; it decides nothing. What an
//! answer means for a dispatch is decided by the scripts under `lua/dispatch/`.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

pub mod livekit;
mod pool;
pub mod simulated;

pub use pool::{NO_POOL, PoolProvider, PoolProviderOptions};

/// Attribute of a provider's dispatch that holds our dispatch id.
pub const ATTRIBUTE_ID: &str = "greenroom.dispatch_id";
/// Attribute that holds the token with which the agent reports that it lives.
pub const ATTRIBUTE_TOKEN: &str = "greenroom.token";
/// Attribute that holds the address to which the agent reports.
pub const ATTRIBUTE_URL: &str = "greenroom.url";

/// The name of pools as provider.
pub const POOL: &str = "pool";

/// One of the providers that a replica can be configured with.
#[derive(Debug, Clone)]
pub enum Provider {
    /// A LiveKit server, over its HTTP API.
    LiveKit(livekit::LiveKit),
    /// A simulation within the process, for `greenroom dev` and the benches.
    Simulated(simulated::Simulated),
    /// Pools of warm workers, one for each agent.
    Pool(PoolProvider),
    /// Nobody: rooms are names, which are always there, and nobody is seen in them. For pools without LiveKit.
    Names,
}

/// What a look into a room showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether the room exists at the provider. If not, everything else is empty.
    pub room_exists: bool,
    /// Everyone in the room who is not an agent, recorder or ingress.
    pub people: Vec<Person>,
    /// The agents that are in the room, of whatever name.
    pub agents: Vec<AgentPresence>,
    /// The dispatches of the room; `None` where they were not asked for.
    pub dispatches: Option<Vec<ProviderDispatch>>,
}

/// A participant that is not an agent, recorder or ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The participant's session id: new at every join.
    pub sid: String,
    /// When the participant joined, in seconds since 1970 by the provider's clock.
    pub joined_at_seconds: i64,
}

/// An agent that is in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPresence {
    /// The participant's identity, as the worker chose it.
    pub identity: String,
    /// The agent's name; `None` where the provider does not tell.
    pub name: Option<String>,
}

/// A dispatch as the provider has it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProviderDispatch {
    /// The provider's own id.
    pub id: String,
    /// The agent's name.
    pub agent: String,
    /// Age by the provider's clock, in seconds since 1970; 0 where it does not tell.
    pub created_at_seconds: i64,
    /// The identities of the participants that its jobs became; an entry is empty while its job has none.
    pub job_identities: Vec<String>,
    /// What the agent was told at creation; may be confidential.
    pub metadata: String,
    /// What was given along at creation; the agent's token is among it.
    pub attributes: HashMap<String, String>,
}

/// Shows no attributes.
impl fmt::Debug for ProviderDispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ProviderDispatch");
        shown.field("id", &self.id).field("agent", &self.agent).field("created_at_seconds", &self.created_at_seconds);
        shown.field("job_identities", &self.job_identities).finish_non_exhaustive()
    }
}

/// Time-outs of a room that is made for a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomTimeouts {
    /// How long the room stays while nobody has come yet, in seconds.
    pub empty_timeout_seconds: u32,
    /// How long the room stays after the last person has left, in seconds.
    pub departure_timeout_seconds: u32,
}

/// Why a provider did not do what it was asked. After any of these but `Rejected`, a change
/// may have happened all the same: the caller looks before it tries again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No answer in time.
    #[error("the provider did not answer in time")]
    Timeout,
    /// Not reachable, or it says that it cannot serve now (5xx).
    #[error("the provider is unavailable: {detail}")]
    Unavailable {
        /// For a developer; holds no token.
        detail: String,
    },
    /// Too many calls (429), or it is away and says until when (503 with `Retry-After`).
    #[error("the provider asks for fewer calls")]
    RateLimited {
        /// How long to wait, where it said so.
        retry_after: Option<Duration>,
    },
    /// An answer that cannot be understood, such as a proxy's error page or an empty id.
    #[error("the provider's answer makes no sense: {detail}")]
    Garbage {
        /// For a developer; holds no token.
        detail: String,
    },
    /// Nobody was free in time: all are at work. It shows nothing of its health.
    #[error("no worker was free in time")]
    Exhausted,
    /// greenroom only observes: the change was not asked for.
    #[error("greenroom only observes, and changes nothing at the provider")]
    ObserveOnly,
    /// The breaker around such calls is open: the call was not made.
    #[error("the breaker {breaker} is open: the provider has failed too often")]
    BreakerOpen {
        /// Which.
        breaker: String,
        /// How long none of its calls is made.
        retry_after: Duration,
    },
    /// A refusal that no repetition changes: bad credentials, too long a name.
    #[error("the provider refused: {detail}")]
    Rejected {
        /// The provider's own code, such as `unauthenticated`.
        code: String,
        /// For a developer; holds no token.
        detail: String,
    },
}

impl ProviderError {
    /// The kind of error, for metrics: a bounded set.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unavailable { .. } => "unavailable",
            Self::RateLimited { .. } => "rate_limited",
            Self::Garbage { .. } => "garbage",
            Self::Exhausted => "exhausted",
            Self::ObserveOnly => "observe_only",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::Rejected { .. } => "rejected",
        }
    }

    /// Whether the same call may succeed later, so that it is worth another try. Not where a breaker is open: that
    /// was no try; nor where nobody was free: it waited already.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Rejected { .. } | Self::ObserveOnly | Self::BreakerOpen { .. } | Self::Exhausted)
    }

    /// Whether it shows that the provider is not well. A refusal does not: it was answered.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Timeout | Self::Unavailable { .. } | Self::RateLimited { .. } | Self::Garbage { .. })
    }
}

// The calls over HTTP are boxed: they would make every future that holds one some 15 KiB larger.
impl Provider {
    /// The provider's name in settings, answers and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LiveKit(_) => "livekit",
            Self::Simulated(_) => "simulated",
            Self::Pool(_) => POOL,
            Self::Names => "names",
        }
    }

    /// Makes the room unless it exists; an existing room keeps its own time-outs.
    pub async fn ensure_room(&self, room: &str, timeouts: RoomTimeouts) -> Result<(), ProviderError> {
        match self {
            Self::LiveKit(provider) => Box::pin(provider.ensure_room(room, timeouts)).await,
            Self::Simulated(provider) => provider.ensure_room(room, timeouts).await,
            Self::Pool(provider) => Box::pin(provider.rooms().ensure_room(room, timeouts)).await,
            Self::Names => Ok(()),
        }
    }

    /// Keeps what a dispatch of the agent in the room holds, where it would lapse by itself, and no look that did so came
    /// about. It needs no answer: the next look shows what there is.
    pub async fn keep(&self, room: &str, agent: &str) {
        if let Self::Pool(provider) = self {
            provider.keep(room, agent).await;
        }
    }

    /// Who is in the room, and (where `with_dispatches`) which dispatches it has: a pool tells of those of the agent
    /// alone, and keeps what they hold. A missing room is an answer, not an error, and is told at once.
    pub async fn look(&self, room: &str, agent: &str, with_dispatches: bool) -> Result<Look, ProviderError> {
        match self {
            Self::LiveKit(provider) => Box::pin(provider.look(room, with_dispatches)).await,
            Self::Simulated(provider) => provider.look(room, with_dispatches).await,
            Self::Pool(provider) => Box::pin(provider.look(room, agent, with_dispatches)).await,
            Self::Names => Ok(Look { room_exists: true, ..Look::default() }),
        }
    }

    /// The names of all rooms.
    pub async fn rooms(&self) -> Result<Vec<String>, ProviderError> {
        match self {
            Self::LiveKit(provider) => Box::pin(provider.rooms()).await,
            Self::Simulated(provider) => provider.rooms().await,
            Self::Pool(provider) => Box::pin(provider.rooms().rooms()).await,
            Self::Names => Ok(Vec::new()),
        }
    }

    /// Dispatches an agent. Not idempotent: look for an earlier one first.
    pub async fn create(
        &self,
        room: &str,
        agent: &str,
        metadata: &str,
        attributes: HashMap<String, String>,
    ) -> Result<ProviderDispatch, ProviderError> {
        match self {
            Self::LiveKit(provider) => Box::pin(provider.create(room, agent, metadata, attributes)).await,
            Self::Simulated(provider) => provider.create(room, agent, metadata, attributes).await,
            Self::Pool(provider) => Box::pin(provider.create(room, agent, metadata, attributes)).await,
            Self::Names => Err(ProviderError::ObserveOnly),
        }
    }

    /// Deletes a dispatch. One that is not there, or whose room is not, counts as deleted.
    pub async fn delete(&self, room: &str, provider_id: &str) -> Result<(), ProviderError> {
        match self {
            Self::LiveKit(provider) => Box::pin(provider.delete(room, provider_id)).await,
            Self::Simulated(provider) => provider.delete(room, provider_id).await,
            Self::Pool(provider) => Box::pin(provider.delete(room, provider_id)).await,
            Self::Names => Ok(()),
        }
    }

    /// Removes an agent's participant from the room. One that is not there counts as removed.
    pub async fn remove_agent(&self, room: &str, identity: &str) -> Result<(), ProviderError> {
        match self {
            Self::LiveKit(provider) => Box::pin(provider.remove_agent(room, identity)).await,
            Self::Simulated(provider) => provider.remove_agent(room, identity).await,
            // A worker leaves the room when it is reset, or stopped.
            Self::Pool(_) | Self::Names => Ok(()),
        }
    }
}
