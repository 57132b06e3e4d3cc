//! What runs beside the requests: one loop per file, each without input and idempotent. The loops
//! that act for all replicas do so only in the one that leads; two that think they lead do no harm,
//! since every script of theirs checks the term.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::Empty;

use crate::dispatch::Dispatches;
use crate::pool::Pools;
use crate::store::{Hints, Store};
use crate::telemetry::Metrics;

mod beat_reaper;
mod break_watch;
mod census;
mod elector;
mod pool_keeper;
mod provider_reaper;
mod reconciler;
mod store_reaper;

pub use elector::{Elector, Leadership};

/// How the loops run.
#[derive(Debug, Clone)]
pub struct BackgroundOptions {
    /// How long a leader leads without renewal.
    pub lease: Duration,
    /// How often it renews.
    pub renew: Duration,
    /// How often it looks for what is due.
    pub scan: Duration,
}

impl Default for BackgroundOptions {
    fn default() -> Self {
        Self { lease: Duration::from_secs(5), renew: Duration::from_secs(1), scan: Duration::from_millis(100) }
    }
}

/// Starts all loops. Those of the leader end on `stop_leading`, and it steps down: another takes up what
/// is due, while this replica finishes what it has begun. Hints are heard until `stop_hearing`.
pub fn start(
    store: &Store,
    (dispatches, pools): (&Dispatches, &Pools),
    hints: &Hints,
    options: &BackgroundOptions,
    metrics: &Arc<Metrics>,
    stop_leading: &CancellationToken,
    stop_hearing: &CancellationToken,
) -> (TaskTracker, Leadership) {
    let stop = stop_leading;
    let tasks = TaskTracker::new();
    let (elector, leadership) = Elector::new(store.clone(), options, Arc::clone(metrics));
    tasks.spawn(elector.run(stop.clone()));
    tasks.spawn(hints.clone().follow(store.clone(), stop_hearing.clone()));
    for guard in dispatches.breakers() {
        tasks.spawn(guard.keep(hints.clone(), stop_hearing.clone()));
    }
    let scan = options.scan;
    tasks.spawn(provider_reaper::run(store.clone(), dispatches.clone(), leadership.clone(), scan, stop.clone()));
    tasks.spawn(beat_reaper::run(store.clone(), dispatches.clone(), leadership.clone(), scan, stop.clone()));
    tasks.spawn(store_reaper::run(store.clone(), leadership.clone(), stop.clone()));
    tasks.spawn(pool_keeper::run(store.clone(), pools.clone(), leadership.clone(), scan, stop.clone()));
    tasks.spawn(census::run(store.clone(), leadership.clone(), Arc::clone(metrics), stop.clone()));
    let (breaks, broken) = watch::channel(0);
    tasks.spawn(break_watch::run(store.clone(), breaks, stop.clone()));
    tasks.spawn(reconciler::run(dispatches.clone(), leadership.clone(), broken, stop.clone()));
    tasks.close();
    (tasks, leadership)
}

/// Calls `round` for every shard at each interval while this replica leads.
async fn while_leading<F: Future<Output = Result<(), crate::store::StoreError>>>(
    what: &'static str,
    store: &Store,
    leadership: &Leadership,
    interval: Duration,
    stop: &CancellationToken,
    round: impl Fn(crate::store::keys::Shard, u64) -> F,
) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut first = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let Some(term) = leadership.term() else { continue };
        // One after another, each time from another one on: where there is more than can be done,
        // every shard gets its turn.
        first = (first + 1) % store.shards();
        for shard in (first..store.shards()).chain(0..first).take_while(|_| !stop.is_cancelled()) {
            if let Err(error) = round(crate::store::keys::Shard(shard), term).await {
                tracing::warn!(line.notice = Empty, what, %error, "a round of the leader failed");
                // Redis is away, or another leads: the elector will know soon.
                tokio::time::sleep(interval.max(Duration::from_millis(200))).await;
                break;
            }
        }
    }
}
