//! Metrics of failures and alerts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    category: &'static str,
    severity: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabels {
    rule: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct ErrorMetrics {
    errors: Family<ClassLabels, Counter>,
    reports_dropped: Counter,
    alerts: Family<RuleLabels, Gauge>,
}

impl ErrorMetrics {
    pub(super) fn register(&self, own: &mut Registry) {
        own.register("errors", "Failures of this service by category and severity", self.errors.clone());
        own.register(
            "error_reports_dropped",
            "Failures that were not counted in their groups, for there were too many",
            self.reports_dropped.clone(),
        );
        own.register("alerts", "1 while a rule is raised and not snoozed; told by the leader", self.alerts.clone());
    }
}

impl Metrics {
    /// A failure of ours.
    pub fn error_reported(&self, category: &'static str, severity: &'static str) {
        self.errors.errors.get_or_create(&ClassLabels { category, severity }).inc();
    }

    /// So many failures could not be counted in their groups.
    pub fn error_report_dropped(&self, failures: u64) {
        self.errors.reports_dropped.inc_by(failures);
    }

    /// Whether a rule of the alerts is raised, and not snoozed.
    pub fn set_alert(&self, rule: &'static str, rings: bool) {
        self.errors.alerts.get_or_create(&RuleLabels { rule }).set(i64::from(rings));
    }

    /// Another replica tells of the alerts.
    pub fn clear_alerts(&self) {
        self.errors.alerts.clear();
    }
}
