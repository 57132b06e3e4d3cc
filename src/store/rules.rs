//! What the scripts of dispatches are told, and what they answer.

use std::time::Duration;

use crate::id::DispatchId;
use crate::idempotency::Once;
use crate::provider::Person;

/// The answer of `dispatch/acquire`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was made for this very request, sent before.
    Created,
    /// The live one is to be used.
    Reused,
    /// Another is at work on it: wait, and ask again.
    Wait,
    /// The caller holds a claim, and looks whether the agent lives.
    Verify,
    /// The caller holds a claim, and makes it.
    Create,
    /// It failed a moment ago; the error is held.
    Failed,
}

/// What follows from a look at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// All is well, or nothing can be done now.
    Well,
    /// The caller keeps the claim, and makes a new dispatch at the provider.
    Redispatch,
    /// The caller keeps the claim, and ends it.
    End,
}

/// The rules that `dispatch/acquire` decides by.
#[derive(Debug, Clone)]
pub struct AcquireRules {
    /// How long the dispatch outlives the last person, in seconds.
    pub ttl_seconds: u32,
    /// What happens on the return to an empty room: `reported`, `always`, `never`.
    pub return_policy: &'static str,
    /// The provider's name.
    pub provider: &'static str,
    /// How long an agent counts as alive after it was seen.
    pub liveness_window: Duration,
    /// How long an agent's report is believed.
    pub believed: Duration,
    /// By when an agent must have come.
    pub join_deadline: Duration,
    /// How long a claim lasts without renewal.
    pub claim: Duration,
    /// The age at which it ends, whoever is there, in seconds.
    pub age_seconds_max: Option<u32>,
    /// The bounds of a time to live that adapts, in seconds.
    pub ttl_bounds: Option<(u32, u32)>,
    /// Whether a new one may be made.
    pub may_create: bool,
    /// The id for a new one; another is made up where there is none.
    pub id: Option<DispatchId>,
}

/// The rules that `dispatch/observe` judges by.
#[derive(Debug, Clone)]
pub struct ObserveRules {
    /// How long an agent's report is believed.
    pub believed: Duration,
    /// By when an agent must have come while no job is listed.
    pub join_deadline: Duration,
    /// By when an agent must have come once its job is listed.
    pub join_deadline_with_job: Duration,
    /// How often a dispatch with people is looked at.
    pub check_interval: Duration,
    /// The longest time between two looks.
    pub check_interval_max: Duration,
    /// How many new dispatches are made in quick succession.
    pub quick_tries: u32,
    /// The time between tries after that.
    pub slow_try_interval: Duration,
    /// How long a claim lasts without renewal.
    pub claim: Duration,
}

/// What a look at the provider showed of one dispatch.
#[derive(Debug, Clone)]
pub struct Observation<'a> {
    /// Redis's time when the look began, in milliseconds since 1970.
    pub looked_at_ms: u64,
    /// How long it took.
    pub took: Duration,
    /// Whether the room exists.
    pub room_exists: bool,
    /// Whether our agent is in it.
    pub agent_here: bool,
    /// Whether a job of our dispatch is listed.
    pub job_listed: bool,
    /// Who is in the room.
    pub people: &'a [Person],
    /// Where a caller waits: the id under which a new dispatch would go on.
    pub wanted_id: Option<DispatchId>,
}

/// What is committed.
#[derive(Debug, Clone)]
pub struct Commit<'a> {
    /// The id to commit under.
    pub id: DispatchId,
    /// The provider's id.
    pub provider_id: &'a str,
    /// The fencing token that the agent was given; 0 where it was given none.
    pub agent_token: u64,
    /// Whether it was found, not made.
    pub adopted: bool,
    /// By when an agent must have come.
    pub join_deadline: Duration,
    /// The request that asked for it, where that is to be done once.
    pub once: Option<&'a Once>,
}
