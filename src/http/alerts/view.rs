//! A rule of the alerts as `/v1` shows it, and the name of one in a path.

use serde::Serialize;
use utoipa::ToSchema;

use crate::alert::{Alert, AlertState, Rule};
use crate::http::fields::Timestamp;
use crate::http::problem::{Code, Problem};

/// A rule, and how it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alert)]
pub(in crate::http) struct AlertView {
    #[schema(value_type = Rule)]
    rule: &'static str,
    /// What it means that it is raised.
    description: &'static str,
    /// `raised` from the moment that its value is over the threshold, until it was calm for a while.
    #[schema(value_type = AlertState)]
    state: &'static str,
    /// Its value when it was judged last; null before.
    #[schema(required)]
    value: Option<f64>,
    /// What it must be over to be raised.
    threshold: f64,
    /// What both count.
    #[schema(example = "percent")]
    unit: &'static str,
    /// Since when its state is what it is; null where it never was another.
    #[schema(required)]
    since: Option<Timestamp>,
    /// Until when nobody is told that it is raised; null where it is not snoozed.
    #[schema(required)]
    snoozed_until: Option<Timestamp>,
    /// When it was raised last.
    #[schema(required)]
    raised_at: Option<Timestamp>,
    /// When it was cleared last.
    #[schema(required)]
    cleared_at: Option<Timestamp>,
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn whole(milli: u64) -> f64 {
    milli as f64 / 1000.0
}

impl From<Alert> for AlertView {
    fn from(alert: Alert) -> Self {
        Self {
            rule: alert.rule.as_str(),
            description: alert.rule.description(),
            state: alert.state.as_str(),
            value: alert.value_milli.map(whole),
            threshold: whole(alert.threshold_milli),
            unit: alert.rule.unit(),
            since: alert.since_ms.map(Timestamp),
            snoozed_until: alert.snoozed_until_ms.map(Timestamp),
            raised_at: alert.raised_at_ms.map(Timestamp),
            cleared_at: alert.cleared_at_ms.map(Timestamp),
        }
    }
}

/// The rule of that name.
pub(super) fn rule_of(name: &str) -> Result<Rule, Problem> {
    Rule::parse(name).ok_or_else(|| Problem::new(Code::AlertNotFound, "there is no rule of that name"))
}
