//! Takes in failures of our own, at no cost for whoever fails: they go into a queue, are folded there, and are
//! counted in Redis group by group. What does not fit is counted as dropped.

use std::borrow::Cow;
use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::sample;
use super::service::{ErrorReports, occurrence};
use super::template::template;
use super::{Class, GroupId, Occurrence, ReportError};
use crate::name::Name;
use crate::telemetry::Metrics;

/// Failures that may wait to be folded.
const QUEUE_MAX: usize = 1000;
/// Groups that may wait to be counted.
const GROUPS_MAX: usize = 256;
/// How often they are counted.
const INTERVAL: Duration = Duration::from_secs(1);

/// A failure of our own.
#[derive(Debug)]
pub struct Incident {
    operation: Cow<'static, str>,
    class: Class,
    code: Option<&'static str>,
    message: String,
}

/// Where our own failures are told. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reporter {
    queue: mpsc::Sender<Incident>,
    metrics: Arc<Metrics>,
}

impl Reporter {
    /// A reporter, and where its failures arrive: see [`run`].
    pub fn new(metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<Incident>) {
        let (queue, incidents) = mpsc::channel(QUEUE_MAX);
        (Self { queue, metrics }, incidents)
    }

    /// Tells of a failure. Never waits; what does not fit is only counted.
    pub fn report(
        &self,
        operation: impl Into<Cow<'static, str>>,
        class: Class,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) {
        self.metrics.error_reported(class.category.as_str(), class.severity.as_str());
        let incident = Incident { operation: operation.into(), class, code, message: message.into() };
        if self.queue.try_send(incident).is_err() {
            self.metrics.error_report_dropped(1);
        }
    }
}

/// Failures of one group that are counted in one go.
#[derive(Debug)]
struct Fold {
    occurrence: Occurrence,
    times: u64,
    /// Set once it was sent: the same again is the same call.
    call: Option<String>,
}

/// What waits to be counted.
#[derive(Debug, Default)]
struct Folds {
    /// Still growing.
    open: HashMap<GroupId, Fold>,
    /// Sent, and perhaps not counted.
    sent: Vec<Fold>,
}

impl Folds {
    /// Adds a failure; false where there is no room for it.
    fn add(&mut self, tenant: &Name, incident: Incident) -> bool {
        let Incident { operation, class, code, message } = incident;
        let template = template(&message);
        let id = GroupId::of(tenant, &operation, class.category, &template);
        if let Some(fold) = self.open.get_mut(&id) {
            fold.times += 1;
            return true;
        }
        if self.open.len() + self.sent.len() >= GROUPS_MAX {
            return false;
        }
        let sample = sample::of_message(&message, code);
        let mut occurrence = occurrence(tenant, &operation, class, template, sample);
        code.unwrap_or_default().clone_into(&mut occurrence.code);
        self.open.insert(id, Fold { occurrence, times: 1, call: None });
        true
    }

    /// Has all of them counted. What could not be is kept for the next time, under the same call.
    async fn count(&mut self, reports: &ErrorReports, tenant: &Name) -> u64 {
        let mut waiting = mem::take(&mut self.sent);
        waiting.extend(mem::take(&mut self.open).into_values());
        let mut waiting = waiting.into_iter();
        let mut dropped = 0;
        for mut fold in waiting.by_ref() {
            let call = fold.call.get_or_insert_with(|| Uuid::now_v7().simple().to_string());
            match reports.count(tenant, &fold.occurrence, fold.times, call).await {
                Ok(_) => {}
                // The others would wait in vain as well.
                Err(ReportError::StoreUnavailable { .. }) => {
                    self.sent.push(fold);
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "failures could not be counted");
                    dropped += fold.times;
                }
            }
        }
        // What was never sent is still open.
        for fold in waiting {
            match fold.call {
                Some(_) => self.sent.push(fold),
                None => drop(self.open.insert(fold.occurrence.id.clone(), fold)),
            }
        }
        dropped
    }
}

/// Folds what arrives and has it counted, until `stop`; then once more.
pub(crate) async fn run(
    reports: ErrorReports,
    mut incidents: mpsc::Receiver<Incident>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    // What concerns the service as a whole is for those who run it, not for a tenant.
    let tenant = Name::default_tenant();
    let mut folds = Folds::default();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => metrics.error_report_dropped(folds.count(&reports, &tenant).await),
            Some(incident) = incidents.recv() => {
                if !folds.add(&tenant, incident) {
                    metrics.error_report_dropped(1);
                }
            }
        }
    }
    while let Ok(incident) = incidents.try_recv() {
        folds.add(&tenant, incident);
    }
    folds.count(&reports, &tenant).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_report::Category;

    fn incident(message: String) -> Incident {
        Incident { operation: "provider.look".into(), class: Category::Network.class(), code: None, message }
    }

    #[test]
    fn what_is_alike_is_one_fold_and_folds_are_bounded() {
        let (tenant, mut folds) = (Name::default_tenant(), Folds::default());
        for n in 0..10_000 {
            assert!(folds.add(&tenant, incident(format!("refused after {n} ms"))));
        }
        assert_eq!(folds.open.values().map(|fold| fold.times).collect::<Vec<_>>(), [10_000]);
        let word = |n: usize| ["a", "b", "c", "d", "e", "f", "g", "h"][n % 8];
        let taken = (0..4096_usize)
            .filter(|n| {
                let name = format!("{}{}{}{}", word(*n), word(n / 8), word(n / 64), word(n / 512));
                folds.add(&tenant, incident(name))
            })
            .count();
        assert_eq!((taken, folds.open.len()), (GROUPS_MAX - 1, GROUPS_MAX));
        assert!(folds.add(&tenant, incident("refused after 1 ms".into())), "what is known still counts");
    }

    #[tokio::test]
    async fn telling_of_a_failure_never_waits_and_what_does_not_fit_is_counted() {
        let metrics = Arc::new(Metrics::new());
        let (reporter, incidents) = Reporter::new(Arc::clone(&metrics));
        for _ in 0..=QUEUE_MAX {
            reporter.report("provider.look", Category::Timeout.class(), None, "no answer");
        }
        assert_eq!(incidents.len(), QUEUE_MAX);
        drop(incidents);
        reporter.report("provider.look", Category::Timeout.class(), None, "no answer");
        let text = metrics.encode().unwrap();
        assert!(text.contains("greenroom_error_reports_dropped_total 2\n"), "{text}");
        let all = QUEUE_MAX + 2;
        assert!(text.contains(&format!("greenroom_errors_total{{category=\"timeout\",severity=\"medium\"}} {all}\n")));
    }
}
