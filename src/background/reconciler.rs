//! Has the leader look for dispatches that the provider has and Redis does not: when its term begins, after a
//! break, and now and then.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;

use super::Leadership;
use crate::dispatch::Dispatches;

/// How soon a break or a new term is noticed, and the pause after a failure.
const TICK: Duration = Duration::from_millis(500);
/// The pause after a round that failed.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn run(
    dispatches: Dispatches,
    leadership: Leadership,
    breaks: watch::Receiver<u64>,
    stop: CancellationToken,
) {
    let interval = dispatches.settings().reconcile_interval;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut done, mut next_at) = (None, Instant::now());
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let Some(term) = leadership.term() else { continue };
        let (break_count, now) = (*breaks.borrow(), Instant::now());
        let is_new = done.is_none_or(|done| done != (term, break_count));
        if !is_new && now < next_at {
            continue;
        }
        // After a break any room may have been forgotten in part; else those that nothing is known of are looked into.
        let thorough = is_new && break_count > 0;
        let reconciling = dispatches.reconcile(thorough).boxed();
        let Some(round) = stop.run_until_cancelled(reconciling).await else { return };
        match round {
            Ok(sum) if sum.failed == 0 => (done, next_at) = (Some((term, break_count)), now + interval),
            Ok(sum) => {
                tracing::warn!(line.notice = Empty, ?sum, "some rooms could not be reconciled; it is tried again");
            }
            Err(error) => {
                tracing::warn!(line.notice = Empty, %error, "the rooms could not be reconciled; it is tried again");
            }
        }
        if done != Some((term, break_count)) {
            let _ = stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
    }
}
