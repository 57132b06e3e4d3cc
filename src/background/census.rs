//! Counts, for the metrics of all, what there is: dispatches, and agents that report.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::field::Empty;

use super::Leadership;
use crate::store::Store;
use crate::telemetry::Metrics;

/// Well below the interval at which metrics are usually fetched.
const INTERVAL: Duration = Duration::from_secs(5);

pub(super) async fn run(store: Store, leadership: Leadership, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let counted = if leadership.term().is_some() { store.census().await } else { Ok((0, 0)) };
        match counted {
            Ok((live, reporting)) => metrics.set_census(live, reporting),
            Err(error) => tracing::debug!(line.notice = Empty, %error, "the dispatches could not be counted"),
        }
    }
    metrics.set_census(0, 0);
}
