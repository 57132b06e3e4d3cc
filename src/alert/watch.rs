//! The loop of every replica that adds its counts; in the leader's, the rules are judged as well.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Alerts, Change, Counts, Reading, Rule};
use crate::store::{Refusal, StoreError};
use crate::telemetry::Metrics;

/// What a replica has told of its counts.
#[derive(Debug)]
struct Teller {
    replica: String,
    /// What was told, and counts for certain.
    told: Counts,
    /// What was told and may not have arrived: it is told again under the same number.
    unsure: Option<Counts>,
    number: u64,
}

impl Teller {
    fn new(begin: Counts) -> Self {
        Self { replica: Uuid::now_v7().simple().to_string(), told: begin, unsure: None, number: 1 }
    }

    /// Tells what came in addition; returns the sums of the window.
    async fn tell(&mut self, alerts: &Alerts, now: Counts) -> Result<Counts, StoreError> {
        let until = *self.unsure.get_or_insert(now);
        let new = until.since(&self.told);
        let sums = alerts.store().count_for_alerts(&self.replica, self.number, &new, alerts.rules().window).await?;
        (self.told, self.unsure) = (until, None);
        self.number += 1;
        Ok(sums)
    }
}

/// Adds counts and, while `term` says that this replica leads, judges; until `stop`.
pub(crate) async fn run(
    alerts: Alerts,
    term: impl Fn() -> Option<u64>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut teller = Teller::new(metrics.counts());
    let mut ticks = tokio::time::interval(alerts.rules().interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let told = teller.tell(&alerts, metrics.counts()).await;
        // Another may lead meanwhile.
        let Some(term) = term() else {
            metrics.clear_alerts();
            continue;
        };
        let judged = match told {
            Ok(sums) => judge(&alerts, term, &alerts.rules().read(&sums, metrics.dispatches_live()), &metrics).await,
            Err(error) => Err(error),
        };
        match judged {
            Ok(()) | Err(StoreError::Refused(Refusal::StaleTerm)) => {}
            // Its own line would be one of many: whoever asks for anything now has one.
            Err(error) => tracing::debug!(%error, "the alerts could not be judged"),
        }
    }
    metrics.clear_alerts();
}

async fn judge(alerts: &Alerts, term: u64, readings: &[Reading], metrics: &Metrics) -> Result<(), StoreError> {
    let call = Uuid::now_v7().simple().to_string();
    let judged = alerts.store().judge_alerts(term, &call, readings, alerts.rules().clear_after).await?;
    for (judged, reading) in judged.iter().zip(readings) {
        metrics.set_alert(judged.rule.as_str(), judged.rings);
        if let Some(change) = judged.change {
            tell(judged.rule, change, reading);
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn tell(rule: Rule, change: Change, reading: &Reading) {
    let (alert, unit) = (rule.as_str(), rule.unit());
    let (value, threshold) = (reading.value_milli as f64 / 1000.0, reading.threshold_milli as f64 / 1000.0);
    match change {
        Change::Raised => tracing::error!(alert, value, threshold, unit, "{}", rule.description()),
        Change::Cleared => tracing::info!(cleared = alert, value, threshold, unit, "an alert is over"),
    }
}
