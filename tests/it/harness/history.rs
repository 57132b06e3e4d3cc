//! What happened, as seen from outside, by one monotonic clock: every call with its outcome, what stood in
//! Redis, when which trouble was there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::schedule::Trouble;
use crate::support::pool_state::State;

/// What a caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Acquire,
    List,
    Get,
    End,
    EndRoom,
    Activity,
    Ttl,
    /// What is to be refused.
    Nonsense,
}

/// What is asked of a lock, a breaker, or a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    AcquireLock,
    RenewLock,
    ReleaseLock,
    Permit,
    Report,
    Lease,
    RenewLease,
    ReleaseLease,
    /// With a token that was never given.
    RenewAsStranger,
    ReleaseAsStranger,
    /// To the worker itself.
    Say,
}

impl Act {
    pub(crate) fn is_of_locks(self) -> bool {
        matches!(self, Self::AcquireLock | Self::RenewLock | Self::ReleaseLock)
    }

    pub(crate) fn is_of_breakers(self) -> bool {
        matches!(self, Self::Permit | Self::Report)
    }
}

/// How a call came out.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Ok {
        status: u16,
        body: Value,
    },
    Fail {
        status: u16,
        code: String,
    },
    /// No answer: it may have been done or not.
    Unknown,
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    pub(crate) replica: usize,
    pub(crate) room: String,
    pub(crate) agent: String,
    /// The dispatch that it is about, where it names one.
    pub(crate) id: String,
    /// Its `Idempotency-Key`.
    pub(crate) key: Option<String>,
    pub(crate) invoked: Duration,
    pub(crate) returned: Duration,
    pub(crate) outcome: Outcome,
}

impl Call {
    /// Status and body of a 2xx.
    pub(crate) fn ok(&self) -> Option<(u16, &Value)> {
        match &self.outcome {
            Outcome::Ok { status, body } => Some((*status, body)),
            _ => None,
        }
    }

    /// The id in the body of a 2xx.
    pub(crate) fn id_told(&self) -> Option<&str> {
        self.ok()?.1["id"].as_str()
    }
}

/// A call about a lock or a breaker.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    pub(crate) act: Act,
    /// Which lock, breaker or pool.
    pub(crate) name: &'static str,
    /// What was asked.
    pub(crate) body: Value,
    pub(crate) replica: usize,
    pub(crate) invoked: Duration,
    pub(crate) returned: Duration,
    pub(crate) outcome: Outcome,
}

impl Use {
    /// The body of a 2xx.
    pub(crate) fn answer(&self) -> Option<&Value> {
        match &self.outcome {
            Outcome::Ok { body, .. } => Some(body),
            _ => None,
        }
    }
}

/// A dispatch as it stood in Redis, noted when it differed from before.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    /// Redis's own time, ms.
    pub(crate) redis_ms: u64,
    pub(crate) key: String,
    /// Empty: it was gone.
    pub(crate) fields: HashMap<String, String>,
}

impl Sample {
    /// A field that is a number.
    pub(crate) fn number(&self, field: &str) -> Option<u64> {
        self.fields.get(field)?.parse().ok()
    }
}

/// An entry of Redis's stream of events.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) fields: HashMap<String, String>,
}

impl Event {
    pub(crate) fn is_of_pool(&self) -> bool {
        self.fields.contains_key("pool")
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// A line of a worker's log.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) at: Duration,
    pub(crate) worker: String,
    pub(crate) runner: String,
    /// ready, assign, said, reset, drain
    pub(crate) what: String,
    /// The lease that it is about.
    pub(crate) lease: String,
    /// All of it.
    pub(crate) whole: Value,
}

/// While a trouble was there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) trouble: Trouble,
    pub(crate) from: Duration,
    /// From when on it was there for sure: a busy machine takes its time to stop a process.
    pub(crate) since: Duration,
    pub(crate) to: Duration,
}

/// After Redis came back: how long until a replica served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recovery {
    pub(crate) replica: usize,
    pub(crate) at: Duration,
    pub(crate) took: Duration,
}

/// All of it.
pub(crate) struct History {
    pub(crate) began: Instant,
    began_ms: u64,
    pub(crate) calls: Log<Call>,
    pub(crate) uses: Log<Use>,
    pub(crate) samples: Log<Sample>,
    pub(crate) events: Log<Event>,
    pub(crate) windows: Log<Window>,
    pub(crate) recoveries: Log<Recovery>,
    /// Terms of leaders as they stood in Redis.
    pub(crate) terms: Log<(Duration, u64)>,
    /// The pool as it stood in Redis, noted when it differed from before.
    pub(crate) pools: Log<(Duration, State)>,
    /// Runners that were killed, and workers that were killed or made to hang, just before it was done.
    pub(crate) harmed: Log<(Duration, String)>,
}

/// A list that many write to.
pub(crate) struct Log<T>(Mutex<Vec<T>>);

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Log<T> {
    pub(crate) fn add(&self, entry: T) {
        self.all().push(entry);
    }

    pub(crate) fn all(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    pub(crate) fn begin() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            began: Instant::now(),
            began_ms: u64::try_from(wall.as_millis()).unwrap_or_default(),
            calls: Log::default(),
            uses: Log::default(),
            samples: Log::default(),
            events: Log::default(),
            windows: Log::default(),
            recoveries: Log::default(),
            terms: Log::default(),
            pools: Log::default(),
            harmed: Log::default(),
        }
    }

    /// The time since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// The same for a time of Redis's clock, which is this machine's.
    pub(crate) fn of_wall(&self, ms: u64) -> Duration {
        Duration::from_millis(ms.saturating_sub(self.began_ms))
    }

    /// Whether a trouble of the kind was there at some time from `from` to `to`.
    pub(crate) fn was_there(&self, from: Duration, to: Duration, kind: impl Fn(Trouble) -> bool) -> bool {
        self.windows.all().iter().any(|window| kind(window.trouble) && window.from <= to && window.to >= from)
    }
}
