//! What a dispatch is, what may be asked of it, and what can go wrong: no transport, no store.

use std::time::Duration;

use tracing::field::Empty;

use crate::id::DispatchId;
use crate::idempotency::Once;
use crate::name::Name;
use crate::policy::Deadline;
use crate::provider::{Person, ProviderError};

/// Which agent in which room, of which tenant: at most one live dispatch exists for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The client that the room belongs to.
    pub tenant: Name,
    /// The room.
    pub room: Name,
    /// The agent's name.
    pub agent: Name,
}

/// Where a dispatch is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Somebody is making it at the provider.
    Creating,
    /// It exists at the provider; its agent has not been seen yet.
    Starting,
    /// Its agent is in the room, and so is a person.
    Active,
    /// Its agent is in the room and nobody else: the time to live runs.
    Idle,
    /// No agent came although several dispatches were made; tried on, slowly, while someone waits.
    Degraded,
    /// It is being deleted at the provider.
    Ending,
    /// It could not be made; the error is kept for a short while, so that all who wait get it.
    Failed,
}

impl State {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 7] =
        [Self::Creating, Self::Starting, Self::Active, Self::Idle, Self::Degraded, Self::Ending, Self::Failed];

    /// The state's name in Redis, answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Degraded => "degraded",
            Self::Ending => "ending",
            Self::Failed => "failed",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether the dispatch stands for an agent that is there or on its way.
    pub fn is_live(self) -> bool {
        !matches!(self, Self::Ending | Self::Failed)
    }
}

/// A dispatch as Redis has it. Times are milliseconds since 1970 by Redis's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatch {
    /// Ours; survives every new dispatch at the provider.
    pub id: DispatchId,
    /// What it is for.
    pub place: Place,
    /// Where it is in its life.
    pub state: State,
    /// The provider's name.
    pub provider: String,
    /// The provider's own id; none until it is made.
    pub provider_id: Option<String>,
    /// The fencing token: grows with every claim.
    pub token: u64,
    /// When it was asked for.
    pub created_at_ms: u64,
    /// When a person or a page last showed interest.
    pub last_activity_at_ms: u64,
    /// When its agent was last known to live.
    pub seen_alive_at_ms: Option<u64>,
    /// What the agent last reported (`open`, `busy`, `closed`), if it reports.
    pub reported: Option<String>,
    /// When it ends if nobody comes; none while people are there.
    pub ttl_expires_at_ms: Option<u64>,
    /// How long it outlives the last person, in seconds.
    pub ttl_seconds: u32,
    /// When it ends, whoever is there; none where its age has no bound.
    pub ends_at_ms: Option<u64>,
    /// How many people are in the room.
    pub participant_count: u64,
    /// Dispatches made again since its agent was last well.
    pub tries: u32,
    /// Why it is in this state, in a word: `created`, `agent_seen`, `join_deadline` …
    pub reason: String,
}

impl Dispatch {
    /// Whether its agent is there, as far as is known, or on its way.
    pub fn has_agent(&self) -> bool {
        match self.state {
            State::Creating | State::Starting => true,
            // The state follows the people; the agent may have gone, or have said that its session is over.
            State::Active | State::Idle => {
                self.seen_alive_at_ms.is_some() && self.reported.as_deref() != Some(SessionState::Closed.as_str())
            }
            State::Degraded | State::Ending | State::Failed => false,
        }
    }
}

/// A page, or anyone else, asks for an agent.
#[derive(Clone)]
pub struct Acquire {
    /// What for.
    pub place: Place,
    /// Handed to a new agent; changes nothing on reuse.
    pub metadata: String,
    /// How long the dispatch outlives the last person; the settings' default where none.
    pub ttl_seconds: Option<u32>,
    /// Whether a worker of the agent's pool is to serve it; else the service's own provider is asked.
    pub by_pool: bool,
    /// How long the caller can wait for a creation that is under way.
    pub patience: Duration,
    /// Where it is to be done once, however often it is sent.
    pub once: Option<Once>,
}

impl Acquire {
    /// The same, for a caller that waits no longer than that.
    #[must_use]
    pub fn until(self, deadline: Deadline) -> Self {
        Self { patience: deadline.within(self.patience), ..self }
    }

    /// The same, to be done once where `once`, given the place's name, says so.
    #[must_use]
    pub fn once(self, once: impl FnOnce(&str) -> Option<Once>) -> Self {
        let place = &self.place;
        let name = format!("{}:{}:{}", place.tenant.encoded(), place.room.encoded(), place.agent.encoded());
        Self { once: once(&name), ..self }
    }
}

/// Shows no metadata.
impl std::fmt::Debug for Acquire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Acquire");
        shown.field("place", &self.place).field("ttl_seconds", &self.ttl_seconds).finish_non_exhaustive()
    }
}

/// The answer to [`Acquire`].
#[derive(Debug, Clone)]
pub enum Acquired {
    /// A dispatch was made for this call.
    Created(Dispatch),
    /// The live one was found.
    Reused(Dispatch),
    /// Still under way when the caller's patience ended; it goes on by itself.
    Pending(Dispatch),
}

/// Names one dispatch.
#[derive(Debug, Clone)]
pub enum Which {
    /// By its id.
    Id(DispatchId),
    /// By what it is for.
    Place(Place),
}

/// What an agent says of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// Ready for its person.
    Open,
    /// At work.
    Busy,
    /// Over: the agent must not be given to anybody.
    Closed,
}

impl SessionState {
    /// The word for it on the wire and in Redis.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Busy => "busy",
            Self::Closed => "closed",
        }
    }
}

/// A change of the time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TtlChange {
    /// Starts it now, or moves it; also the length from now on. Seconds.
    Arm(u32),
    /// Stops it until people come and go again.
    Cancel,
}

/// Which dispatches to list; everything that is `None` is not asked for.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Of this room.
    pub room: Option<Name>,
    /// Of this agent.
    pub agent: Option<Name>,
    /// In this state.
    pub state: Option<State>,
    /// Where the page before ended: opaque.
    pub cursor: Option<String>,
    /// At most so many (1 to 1,000).
    pub limit: u32,
}

/// A page of a list. It may be short, and still have a next one.
#[derive(Debug, Clone)]
pub struct Page {
    /// The dispatches, by shard, then name.
    pub dispatches: Vec<Dispatch>,
    /// Where the next page starts; none at the end.
    pub next_cursor: Option<String>,
}

/// One step in a room's life, for `explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The event's id in its stream; its first part is the time in milliseconds.
    pub event_id: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Which dispatch.
    pub dispatch_id: String,
    /// Which agent.
    pub agent: String,
    /// The state after it.
    pub state: String,
    /// Why.
    pub reason: String,
}

/// What a provider's webhook said, in our words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomNotice {
    /// The provider's id of the event; the same when it is sent again.
    pub event_id: String,
    /// The room's name as the provider has it.
    pub room: String,
    /// When it happened, by the provider's clock, in whole seconds: it orders nothing.
    pub created_at_seconds: i64,
    /// What happened.
    pub kind: NoticeKind,
}

/// The kinds of [`RoomNotice`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeKind {
    /// A person joined.
    PersonJoined(Person),
    /// A person left, or was cut off before being really there.
    PersonLeft(Person),
    /// An agent joined, left or was cut off: a reason to look.
    AgentChanged,
    /// The room is closed, and everything in it gone.
    RoomFinished,
}

impl NoticeKind {
    /// Logs that a person came or left; who it is stays with the provider.
    pub(super) fn tell(&self, room: &Name) {
        let room = &*room.encoded();
        match self {
            Self::PersonJoined(_) => tracing::info!(line.kept = Empty, room, "a person came"),
            Self::PersonLeft(_) => tracing::info!(line.kept = Empty, room, "a person left"),
            Self::AgentChanged | Self::RoomFinished => {}
        }
    }
}

/// A bound on live dispatches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Of a tenant.
    Tenant,
    /// Of one agent of a tenant.
    Agent,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tenant => "tenant",
            Self::Agent => "agent",
        })
    }
}

/// An agent by name, as its deploys see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStatus {
    /// The agent's name.
    pub agent: Name,
    /// Since when no new dispatch of it is made, in milliseconds since 1970; none where it is not drained.
    pub draining_since_ms: Option<u64>,
    /// How many dispatches of it there are.
    pub dispatches: u64,
}

/// Why the domain could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DispatchError {
    /// There is none of that id or name.
    #[error("no such dispatch")]
    NotFound,
    /// The dispatch is over: it was known, and has ended.
    #[error("the dispatch is over")]
    Ended,
    /// The token is not the one of the dispatch's present agent: its bearer was replaced.
    #[error("the token is not the current one")]
    StaleToken,
    /// The token was not made by us for this dispatch.
    #[error("the token is not valid for this dispatch")]
    BadToken,
    /// The dispatch is ending.
    #[error("the dispatch is ending")]
    Ending,
    /// The agent drains: those that run go on, and no new one is made.
    #[error("the agent is being drained")]
    Draining,
    /// As many dispatches live as may.
    #[error("the bound on live dispatches of the {bound} is reached")]
    TooMany {
        /// Which bound.
        bound: Bound,
        /// After how long to try again.
        retry_after: Duration,
    },
    /// The `Idempotency-Key` was used for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// The same request is under way.
    #[error("the same request is under way")]
    UnderWay,
    /// The provider could not make the agent.
    #[error("the agent could not be dispatched: {source}")]
    Provider {
        /// What the provider said.
        source: ProviderError,
        /// After how long to try again.
        retry_after: Duration,
    },
    /// The caller's patience ended before anything was decided.
    #[error("no answer in time")]
    Timeout {
        /// After how long to try again.
        retry_after: Duration,
    },
    /// A room of the default tenant whose name reads as another tenant's.
    #[error("the room's name is reserved")]
    ReservedRoom,
    /// The cursor is not one of ours.
    #[error("not a cursor of this list")]
    BadCursor,
    /// Redis is not reachable, or does not take writes now.
    #[error("the store is unavailable: {detail}")]
    StoreUnavailable {
        /// For a developer.
        detail: String,
    },
    /// A defect: an answer of a script that the code does not understand, say.
    #[error("internal error: {detail}")]
    Internal {
        /// For a developer.
        detail: String,
    },
}
