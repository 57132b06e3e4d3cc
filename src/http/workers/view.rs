//! A worker as callers see it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::fields::{PoolNameText, RunnerName, Timestamp};
use crate::id::{LeaseId, WorkerId};
use crate::pool::{Step, Worker};

/// A worker of a pool.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Worker)]
pub(in crate::http) struct WorkerView {
    #[schema(value_type = WorkerId)]
    id: String,
    #[schema(value_type = PoolNameText)]
    pool: String,
    #[schema(value_type = RunnerName)]
    runner: String,
    version: String,
    /// `initializing`, `ready`, `busy`, `resetting`, `degraded`, `terminating` or `terminated`.
    state: &'static str,
    since: Timestamp,
    /// Why it is in this state.
    reason: String,
    /// `unknown`, `healthy` or `unhealthy`.
    health: String,
    /// How many checks of its health failed in a row.
    failures: u64,
    /// Whether it gets no new sessions.
    cordoned: bool,
    /// What else is to be said of it: `memory_high` where its processes have more than `memory_warning_mb` of its pool.
    conditions: Vec<&'static str>,
    created_at: Timestamp,
    /// How many sessions it had.
    sessions: u64,
    /// The lease that it serves; null where it serves none.
    #[schema(required, value_type = Option<LeaseId>)]
    lease: Option<String>,
    /// Where its session reaches it, as it says.
    #[schema(required)]
    endpoint: Option<String>,
    /// The memory of its processes.
    #[schema(required)]
    memory_bytes: Option<u64>,
    /// Its process on its host.
    #[schema(required)]
    pid: Option<u64>,
    /// How many requests its session made, as it reports.
    requests: u64,
    /// How many of them failed.
    errors: u64,
    /// Its last steps, newest first: ten at most.
    history: Vec<StepView>,
}

/// A step in a worker's life.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkerStep)]
struct StepView {
    at: Timestamp,
    state: &'static str,
    reason: String,
}

impl From<Worker> for WorkerView {
    fn from(worker: Worker) -> Self {
        let step = |Step { at_ms, state, reason }| StepView { at: Timestamp(at_ms), state: state.as_str(), reason };
        Self {
            id: worker.id.to_string(),
            pool: worker.pool.pool.as_str().to_owned(),
            runner: worker.runner,
            version: worker.version,
            state: worker.state.as_str(),
            since: Timestamp(worker.since_ms),
            reason: worker.reason,
            health: worker.health,
            failures: worker.failures,
            cordoned: worker.cordoned,
            conditions: worker.memory_high.then_some("memory_high").into_iter().collect(),
            created_at: Timestamp(worker.created_at_ms),
            sessions: worker.sessions,
            lease: worker.lease,
            endpoint: worker.endpoint,
            memory_bytes: worker.memory_bytes,
            pid: worker.pid,
            requests: worker.requests,
            errors: worker.errors,
            history: worker.history.into_iter().map(step).collect(),
        }
    }
}
