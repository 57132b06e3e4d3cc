//! How a pool is: what there is of it, and what was counted.

use super::WorkerState;

/// How a pool is.
#[derive(Debug, Clone, Default)]
pub struct PoolStatus {
    /// When it was made.
    pub created_at_ms: u64,
    /// How many workers there are in each state.
    pub workers: Vec<(WorkerState, u64)>,
    /// How many a session may have at once.
    pub spare: u64,
    /// How many sessions have a worker.
    pub leases: u64,
    /// How many sessions wait for one.
    pub waiting: u64,
    /// How many keyed sessions there are.
    pub keyed: u64,
    /// How many of them nobody uses now.
    pub idle: u64,
    /// How often one was used again.
    pub keyed_reused: u64,
    /// How many were given up for another one.
    pub keyed_evicted: u64,
    /// How many got another worker, theirs being unhealthy.
    pub keyed_rebound: u64,
    /// How many runners there are.
    pub runners: u64,
    /// How many sessions there were.
    pub sessions_total: u64,
    /// How many of them were on a worker that had served before.
    pub reused_total: u64,
    /// How many resets were proved.
    pub resets_proved: u64,
    /// How many resets failed, or were not done in time.
    pub resets_failed: u64,
    /// How often a session came back to its worker.
    pub affinity_hits: u64,
    /// How often its worker was not to be had.
    pub affinity_misses: u64,
    /// How long sessions waited lately.
    pub waits: Waits,
    /// How many starts failed in a row.
    pub starts_failed: u64,
    /// How long a start takes, going by the last ones.
    pub start_ms: Option<u64>,
    /// Why the pool was last brought to another size, newest first.
    pub plans: Vec<Plan>,
}

/// What was decided on the size of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// When.
    pub at_ms: u64,
    /// How many workers there should be.
    pub wanted: u64,
    /// How many there were.
    pub there: u64,
    /// How many start.
    pub starts: u64,
    /// How many go.
    pub goes: u64,
    /// Why.
    pub reason: String,
}

/// How long sessions waited for their workers, counted for five minutes and then anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// Since when.
    pub since_ms: Option<u64>,
    /// How many sessions got a worker.
    pub served: u64,
    /// How many of them had to wait for it.
    pub waited: u64,
    /// How long they waited, all together.
    pub sum_ms: u64,
    /// How long the longest wait was.
    pub max_ms: u64,
}

impl Waits {
    /// How long those who had to wait did on average.
    pub fn mean_ms(&self) -> u64 {
        self.sum_ms.checked_div(self.waited).unwrap_or_default()
    }
}
