//! What a runner and greenroom tell each other.

use serde::Serialize;

use super::{Assignment, SessionRef};
use crate::name::Name;

/// A runner, as it tells of itself.
#[derive(Debug, Clone)]
pub struct Runner {
    /// Its name, its own within the pool.
    pub name: Name,
    /// The host that it runs on.
    pub host: Name,
    /// What it starts workers with.
    pub driver: Name,
    /// How many workers it may have.
    pub capacity: u32,
    /// Whether it is on its way out.
    pub draining: bool,
    /// Which start of it this is: new at each.
    pub boot: Name,
    /// The number of what it tells, which grows within a start: what comes after a newer one counts for nothing.
    pub report: u64,
    /// The number of the report, of this start, that `workers` adds to; without it they are all.
    pub since: Option<u64>,
    /// Every worker that it has, and those that just went; or those only of which there is something new.
    pub workers: Vec<Observed>,
}

/// A worker as its runner sees it, in the form that the script takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// Its id.
    pub id: String,
    /// How it is.
    pub state: ObservedState,
    /// The last instruction that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<u64>,
    /// Whether that was done.
    pub done: bool,
    /// The lease that it serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// The session that it serves, encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Whether it says that the session of that lease is over.
    pub released: bool,
    /// How many checks of its health failed in a row.
    pub failures: u32,
    /// The memory of its processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Where its session reaches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// How many requests its session made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// How many of them failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<u64>,
}

/// How a runner says that a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObservedState {
    /// It starts.
    Starting,
    /// It can take a session.
    Ready,
    /// It has one.
    Busy,
    /// It is being reset.
    Resetting,
    /// It stops.
    Stopping,
    /// It is gone.
    Gone,
}

impl ObservedState {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Resetting => "resetting",
            Self::Stopping => "stopping",
            Self::Gone => "gone",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Starting, Self::Ready, Self::Busy, Self::Resetting, Self::Stopping, Self::Gone]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// What is to become of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is to run: started where it is not.
    Run,
    /// It is to take a session.
    Assign,
    /// It serves a session: it is left alone.
    Keep,
    /// It is to clear itself, and show it.
    Reset,
    /// Its process is to be started anew.
    Restart,
    /// It is to stop.
    Stop,
}

impl Action {
    /// Its name on the wire: a restart is a kind of reset there.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Assign => "assign",
            Self::Keep => "keep",
            Self::Reset | Self::Restart => "reset",
            Self::Stop => "stop",
        }
    }

    /// The action of that name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "run" => Self::Run,
            "assign" => Self::Assign,
            "keep" => Self::Keep,
            "reset" => Self::Reset,
            "restart" => Self::Restart,
            "stop" => Self::Stop,
            _ => return None,
        })
    }
}

/// What a runner is to do with a worker.
#[derive(Debug, Clone)]
pub struct Instruction {
    /// The worker.
    pub worker: String,
    /// What.
    pub action: Action,
    /// Names the instruction; it grows with each.
    pub token: u64,
    /// How long that may take.
    pub within_ms: u64,
    /// The lease that it serves, or is to serve.
    pub lease: Option<String>,
    /// The session; named as its lease where it has no name.
    pub session: Option<SessionRef>,
    /// What the worker is told, with [`Action::Assign`].
    pub assignment: Assignment,
}

/// What a runner hears.
#[derive(Debug, Clone)]
pub struct Synced {
    /// Names this answer: who shows it again waits until there is another.
    pub revision: String,
    /// Whether `instructions` are of all workers that the runner has or is to have, or of those only that there is
    /// something new of since the answer that it shows.
    pub complete: bool,
    /// What is to become of workers.
    pub instructions: Vec<Instruction>,
    /// How often workers' health is to be checked.
    pub health_ms: u32,
    /// How often the runner is to be heard.
    pub heartbeat_ms: u64,
}
