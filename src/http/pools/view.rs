//! A pool as callers see it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::settings::SettingsView;
use crate::http::fields::{PoolNameText, Timestamp};
use crate::pool::{Plan, Pool};

/// A pool: how it is to be (`settings`), and how it is (`status`).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pool)]
pub(in crate::http) struct PoolView {
    #[schema(value_type = PoolNameText)]
    name: String,
    settings: SettingsView,
    status: StatusView,
}

/// How a pool is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PoolStatus)]
struct StatusView {
    created_at: Timestamp,
    /// How many workers there are in each state.
    workers: BTreeMap<&'static str, u64>,
    /// How many of them a session may have at once.
    spare: u64,
    /// How many sessions have a worker, or are about to.
    leased: u64,
    /// How many sessions wait for one.
    waiting: u64,
    /// How many keyed sessions there are.
    keyed: u64,
    /// How many of them nobody uses now: they keep their workers.
    idle: u64,
    /// How often a keyed session was used again.
    keyed_reused_total: u64,
    /// How many were given up for another one.
    keyed_evicted_total: u64,
    /// How many got another worker, theirs being unhealthy.
    keyed_rebound_total: u64,
    /// How many runners there are.
    runners: u64,
    /// How many sessions there were in all.
    sessions_total: u64,
    /// How many of them were on a worker that had served before.
    reused_total: u64,
    /// How many resets were proved.
    resets_proved: u64,
    /// How many failed, or were not done in time: those workers were discarded.
    resets_failed: u64,
    /// How often a session came back to the worker that it had before.
    affinity_hits: u64,
    /// How often that one was not to be had.
    affinity_misses: u64,
    /// How many starts of workers failed in a row: the next ones wait.
    starts_failed: u64,
    /// How long a start takes, going by the last ones; null where there was none.
    #[schema(required)]
    start_ms: Option<u64>,
    /// What was last done about its size, newest first: ten at most.
    plans: Vec<PlanView>,
}

/// What is done about a pool's size.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PoolPlan)]
pub(in crate::http) struct PlanView {
    at: Timestamp,
    /// How many workers there should be.
    wanted: u64,
    /// How many there are, without those that stop.
    there: u64,
    /// How many start.
    starts: u64,
    /// How many go.
    goes: u64,
    /// Why: `spare`, `scheduled` (its schedule asks for it), `waiting`, `foreseen`, `min`, `max`, `unused`, `draining`, `cooling_down`, `backing_off` (starts
    /// failed), `starting` (more are to start than a look starts: the next one goes on), `no_room` (no runner has any
    /// left).
    reason: String,
}

impl From<Plan> for PlanView {
    fn from(plan: Plan) -> Self {
        let Plan { at_ms, wanted, there, starts, goes, reason } = plan;
        Self { at: Timestamp(at_ms), wanted, there, starts, goes, reason }
    }
}

impl From<Pool> for PoolView {
    fn from(pool: Pool) -> Self {
        let status = pool.status;
        Self {
            name: pool.name.pool.as_str().to_owned(),
            settings: pool.settings.into(),
            status: StatusView {
                created_at: Timestamp(status.created_at_ms),
                workers: status.workers.into_iter().map(|(state, count)| (state.as_str(), count)).collect(),
                spare: status.spare,
                leased: status.leases,
                waiting: status.waiting,
                keyed: status.keyed,
                idle: status.idle,
                keyed_reused_total: status.keyed_reused,
                keyed_evicted_total: status.keyed_evicted,
                keyed_rebound_total: status.keyed_rebound,
                runners: status.runners,
                sessions_total: status.sessions_total,
                reused_total: status.reused_total,
                resets_proved: status.resets_proved,
                resets_failed: status.resets_failed,
                affinity_hits: status.affinity_hits,
                affinity_misses: status.affinity_misses,
                starts_failed: status.starts_failed,
                start_ms: status.start_ms,
                plans: status.plans.into_iter().map(PlanView::from).collect(),
            },
        }
    }
}
