//! A pool in numbers, as callers see it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::fields::{PoolNameText, Timestamp};
use crate::http::sessions::view::SessionView;
use crate::pool::{Pool, Session, Waits, WorkerState};

/// A pool in numbers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PoolStats)]
pub(in crate::http) struct StatsView {
    #[schema(value_type = PoolNameText)]
    pool: String,
    /// How many workers there are in each state.
    workers: BTreeMap<&'static str, u64>,
    /// How many workers there are.
    workers_total: u64,
    /// How many a session may have at once.
    spare: u64,
    /// How many serve a session.
    workers_with_sessions: u64,
    /// How many sessions have a worker, or are about to.
    leased: u64,
    /// How many sessions wait for one.
    waiting: u64,
    /// How many keyed sessions there are.
    keyed: u64,
    /// How many of them nobody uses now.
    idle: u64,
    /// How many sessions there were in all.
    sessions_total: u64,
    /// How many of them were on a worker that had served before.
    reused_total: u64,
    /// Their share of all; null where there was none.
    #[schema(required, minimum = 0, maximum = 1)]
    reuse_rate: Option<f64>,
    /// How often a keyed session was used again.
    keyed_reused_total: u64,
    /// How many were given up for another one.
    keyed_evicted_total: u64,
    /// How many got another worker, theirs being unhealthy.
    keyed_rebound_total: u64,
    waits: WaitsView,
    /// How many resets were proved.
    resets_proved: u64,
    /// How many failed, or were not done in time: those workers were discarded.
    resets_failed: u64,
    /// The share that was proved; null where there was none.
    #[schema(required, minimum = 0, maximum = 1)]
    reset_success_rate: Option<f64>,
    /// How often a session came back to the worker that it had before.
    affinity_hits: u64,
    /// How often that one was not to be had.
    affinity_misses: u64,
    /// The oldest ones that have a worker.
    sessions: Vec<SessionView>,
}

/// How long sessions waited for their workers lately: counted for five minutes, then anew.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PoolWaits)]
struct WaitsView {
    /// Since when they are counted; null where nobody ever had a worker.
    #[schema(required)]
    since: Option<Timestamp>,
    /// How many sessions got a worker.
    served: u64,
    /// How many of them had to wait for it.
    waited: u64,
    /// How long they waited on average.
    mean_ms: u64,
    /// How long the longest wait was.
    max_ms: u64,
}

/// Of so many, in thousandths; none of nothing.
#[expect(clippy::cast_precision_loss, reason = "a share, told to three places")]
fn share(part: u64, rest: u64) -> Option<f64> {
    let thousandths = part.saturating_mul(1_000).checked_div(part.saturating_add(rest))?;
    Some(thousandths as f64 / 1_000.0)
}

impl StatsView {
    pub(super) fn new(pool: Pool, sessions: Vec<Session>) -> Self {
        let status = pool.status;
        let busy = status.workers.iter().find(|(state, _)| *state == WorkerState::Busy).map_or(0, |(_, count)| *count);
        Self {
            pool: pool.name.pool.as_str().to_owned(),
            workers_total: status.workers.iter().map(|(_, count)| count).sum(),
            workers: status.workers.into_iter().map(|(state, count)| (state.as_str(), count)).collect(),
            spare: status.spare,
            workers_with_sessions: busy,
            leased: status.leases,
            waiting: status.waiting,
            keyed: status.keyed,
            idle: status.idle,
            sessions_total: status.sessions_total,
            reused_total: status.reused_total,
            reuse_rate: share(status.reused_total, status.sessions_total.saturating_sub(status.reused_total)),
            keyed_reused_total: status.keyed_reused,
            keyed_evicted_total: status.keyed_evicted,
            keyed_rebound_total: status.keyed_rebound,
            waits: status.waits.into(),
            resets_proved: status.resets_proved,
            resets_failed: status.resets_failed,
            reset_success_rate: share(status.resets_proved, status.resets_failed),
            affinity_hits: status.affinity_hits,
            affinity_misses: status.affinity_misses,
            sessions: sessions.into_iter().map(SessionView::from).collect(),
        }
    }
}

impl From<Waits> for WaitsView {
    fn from(waits: Waits) -> Self {
        Self {
            since: waits.since_ms.map(Timestamp),
            served: waits.served,
            waited: waits.waited,
            mean_ms: waits.mean_ms(),
            max_ms: waits.max_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_nothing_is_none() {
        assert_eq!((share(0, 0), share(0, 3), share(3, 0), share(1, 2)), (None, Some(0.0), Some(1.0), Some(0.333)));
    }
}
