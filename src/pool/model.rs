//! Pools, workers and leases as they are.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{PoolSettings, PoolStatus, SessionRef, WorkerState};
use crate::id::{LeaseId, WorkerId};
use crate::name::Name;
use crate::store::{Refusal, StoreError};

/// Which pool is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolName {
    /// Whose.
    pub tenant: Name,
    /// Its name.
    pub pool: Name,
}

/// A pool. Times are milliseconds since 1970 by Redis's clock.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// How it is to be.
    pub settings: PoolSettings,
    /// How it is.
    pub status: PoolStatus,
}

/// A worker. Times are milliseconds since 1970 by Redis's clock.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Its id.
    pub id: WorkerId,
    /// Its pool.
    pub pool: PoolName,
    /// The runner that has it.
    pub runner: String,
    /// Which version of the worker it is.
    pub version: String,
    /// Where it is in its life.
    pub state: WorkerState,
    /// Since when.
    pub since_ms: u64,
    /// Why.
    pub reason: String,
    /// `unknown`, `healthy` or `unhealthy`.
    pub health: String,
    /// How many checks failed in a row.
    pub failures: u64,
    /// Whether it gets no new sessions.
    pub cordoned: bool,
    /// Whether its processes have more memory than its pool warns of.
    pub memory_high: bool,
    /// When it was made.
    pub created_at_ms: u64,
    /// How many sessions it had.
    pub sessions: u64,
    /// The lease that it serves.
    pub lease: Option<String>,
    /// Where its session reaches it.
    pub endpoint: Option<String>,
    /// The memory of its processes.
    pub memory_bytes: Option<u64>,
    /// Its process.
    pub pid: Option<u64>,
    /// How many requests its session made, as it reports.
    pub requests: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Its last steps, newest first.
    pub history: Vec<Step>,
}

/// A step in a worker's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at_ms: u64,
    /// Where to.
    pub state: WorkerState,
    /// Why.
    pub reason: String,
}

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// It waits for a worker.
    Waiting,
    /// A worker is to take it.
    Offered,
    /// It has its worker.
    Held,
    /// It has its worker, and nobody uses it: a keyed session.
    Idle,
}

impl LeaseState {
    /// Its name in Redis and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Offered => "offered",
            Self::Held => "held",
            Self::Idle => "idle",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Waiting, Self::Offered, Self::Held, Self::Idle].into_iter().find(|state| state.as_str() == text)
    }
}

/// A session's right to a worker. Times are milliseconds since 1970 by Redis's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// The pool.
    pub pool: PoolName,
    /// The session, where it has a name or a key.
    pub session: Option<SessionRef>,
    /// How it stands.
    pub state: LeaseState,
    /// The worker, once there is one.
    pub worker: Option<WorkerId>,
    /// Where the session reaches its worker, as that says.
    pub endpoint: Option<String>,
    /// The fencing token, once there is a worker.
    pub token: Option<u64>,
    /// When it was asked for.
    pub created_at_ms: u64,
    /// When it ends unless it is renewed.
    pub until_ms: Option<u64>,
    /// When it was last used, as far as its end tells.
    pub used_ms: Option<u64>,
    /// Whether it was there before it was asked for.
    pub reused: bool,
    /// Redis's time when it was read.
    pub now_ms: u64,
}

/// What a session asks for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Its name or key. The same name gets the same lease, and later the same worker where that is to be had; the same key
    /// the same worker, with all that it knows.
    pub session: Option<SessionRef>,
    /// How long the lease lasts without renewal; as the pool has it where it is not said.
    pub lease: Option<Duration>,
    /// How long it may wait for a worker.
    pub wait: Duration,
    /// Its place in line.
    pub priority: Priority,
    /// What it wants where its worker is busy.
    pub affinity: Affinity,
    /// What its worker is told.
    pub assignment: Assignment,
}

/// A place in line. One step counts as much as a minute of waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Priority {
    /// Before all.
    Urgent,
    /// Before most.
    High,
    /// As usual.
    #[default]
    Normal,
    /// After all.
    Low,
}

impl Priority {
    /// Its name in requests.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "urgent" => Self::Urgent,
            "high" => Self::High,
            "normal" => Self::Normal,
            "low" => Self::Low,
            _ => return None,
        })
    }

    /// How much earlier than its time its place is.
    pub(crate) fn head_start_ms(self) -> i64 {
        match self {
            Self::Urgent => 120_000,
            Self::High => 60_000,
            Self::Normal => 0,
            Self::Low => -60_000,
        }
    }
}

/// What a session wants where the worker that it had before is busy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Affinity {
    /// Another one.
    #[default]
    Hint,
    /// To wait for it.
    Queue,
    /// To be refused.
    Fail,
}

impl Affinity {
    /// Its name in requests and in the script.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Queue => "queue",
            Self::Fail => "fail",
        }
    }

    /// The one of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Hint, Self::Queue, Self::Fail].into_iter().find(|affinity| affinity.as_str() == text)
    }
}

/// What a worker is told with its session. It may be confidential: it is shown to the worker alone.
#[derive(Clone, Default)]
pub struct Assignment(Option<SecretString>);

impl std::fmt::Debug for Assignment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Assignment(…)")
    }
}

/// The parts of an assignment.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AssignmentParts {
    /// Variables for the session.
    pub environment: BTreeMap<String, String>,
    /// A text for the session.
    pub metadata: String,
}

impl Assignment {
    /// Of those parts.
    pub fn new(parts: &AssignmentParts) -> Self {
        let is_empty = parts.environment.is_empty() && parts.metadata.is_empty();
        Self((!is_empty).then(|| serde_json::to_string(parts).unwrap_or_default().into()))
    }

    /// As the store keeps it.
    pub(crate) fn text(&self) -> &str {
        use secrecy::ExposeSecret as _;
        self.0.as_ref().map_or("", |text| text.expose_secret())
    }

    /// As the store has it.
    pub(crate) fn from_text(text: String) -> Self {
        Self((!text.is_empty()).then(|| text.into()))
    }

    /// Its parts.
    pub fn parts(&self) -> AssignmentParts {
        serde_json::from_str(self.text()).unwrap_or_default()
    }
}

/// Why a pool did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PoolError {
    /// There is no such pool.
    #[error("there is no such pool")]
    NotFound,
    /// There is no such worker, or it is gone.
    #[error("there is no such worker")]
    NoSuchWorker,
    /// There is no such lease.
    #[error("there is no such lease")]
    NoSuchLease,
    /// The pool has workers, or sessions that have or want one.
    #[error("the pool is in use")]
    InUse,
    /// There is no such session.
    #[error("there is no such session")]
    NoSuchSession,
    /// There are as many pools as there may be.
    #[error("as many pools as there may be")]
    TooMany,
    /// No worker was ready in time.
    #[error("no worker was ready in time")]
    NoReadyWorker,
    /// As many sessions wait as may.
    #[error("as many sessions wait as may")]
    LineFull,
    /// As many keyed sessions are in use as there may be.
    #[error("as many keyed sessions are in use as may")]
    KeysInUse,
    /// The session's own worker is busy, and it wanted no other.
    #[error("the worker of the session is busy")]
    WorkerBusy,
    /// The pool gives no more leases.
    #[error("the pool is drained")]
    Draining,
    /// The lease is over, or was never the caller's.
    #[error("the lease is over")]
    LeaseLost,
    /// Redis may have lost the lease, and its runner has still to tell of it.
    #[error("it is not known yet whether the lease is over")]
    Unsure,
    /// A newer report of the runner was heard.
    #[error("a newer report was heard")]
    StaleReport,
    /// The report of the runner adds to one that is not known.
    #[error("it adds to an unknown report")]
    IncompleteReport,
    /// The cursor is none that a list gave.
    #[error("the cursor is none that a list gave")]
    BadCursor,
    /// The `Idempotency-Key` was used for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// The same request is under way.
    #[error("the same request is under way")]
    UnderWay,
    /// Redis gave no answer: whether it was done is unknown.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for PoolError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(Refusal::NotFound) => Self::NotFound,
            StoreError::Refused(Refusal::NotOwner) => Self::LeaseLost,
            StoreError::Refused(Refusal::KeyReused) => Self::KeyReused,
            StoreError::Refused(Refusal::UnderWay) => Self::UnderWay,
            StoreError::Refused(Refusal::TooMany) => Self::TooMany,
            StoreError::Refused(Refusal::StaleReport) => Self::StaleReport,
            StoreError::Refused(Refusal::Incomplete) => Self::IncompleteReport,
            StoreError::Refused(Refusal::InUse) => Self::KeysInUse,
            error => Self::Store(error),
        }
    }
}
