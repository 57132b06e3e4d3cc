//! The rules of a breaker on the wire, with their bounds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::breaker::Rules;
use crate::http::fields::Count;
use crate::http::problem::{Code, Problem};

/// When a breaker opens and closes. What is left out is as greenroom ships it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = BreakerRules, example = json!({"failures_max": 5, "open_ms": 30_000}))]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct RulesView {
    /// So many failures in a row open it; 0: as many as there are.
    #[schema(value_type = u32, minimum = 0, maximum = 1_000, default = 5)]
    failures_max: Count,
    /// This share of failures in the window opens it, in percent; 0: none does.
    #[schema(value_type = u32, minimum = 0, maximum = 100, default = 50)]
    failure_percent: Count,
    /// This share of slow calls in the window opens it, in percent; 0: none does.
    #[schema(value_type = u32, minimum = 0, maximum = 100, default = 80)]
    slow_percent: Count,
    /// A call that takes so long is slow.
    #[schema(value_type = u32, minimum = 1, maximum = 600_000, default = 5_000)]
    slow_ms: Count,
    /// The shares count from so many calls in the window on.
    #[schema(value_type = u32, minimum = 1, maximum = 10_000, default = 20)]
    calls_min: Count,
    /// How far the window reaches back.
    #[schema(value_type = u32, minimum = 1_000, maximum = 3_600_000, default = 10_000)]
    window_ms: Count,
    /// How long it stays open; twice as long each time that a probe fails.
    #[schema(value_type = u32, minimum = 10, maximum = 3_600_000, default = 30_000)]
    open_ms: Count,
    /// The longest that it stays open. At least `open_ms`.
    #[schema(value_type = u32, minimum = 10, maximum = 3_600_000, default = 30_000)]
    open_ms_max: Count,
    /// How many probes may be under way at once.
    #[schema(value_type = u32, minimum = 1, maximum = 100, default = 3)]
    probes_max: Count,
    /// How long a probe may take before its permit lapses.
    #[schema(value_type = u32, minimum = 100, maximum = 600_000, default = 15_000)]
    probe_ms: Count,
    /// So many probes that succeed close it.
    #[schema(value_type = u32, minimum = 1, maximum = 100, default = 2)]
    successes_min: Count,
}

impl Default for RulesView {
    fn default() -> Self {
        Rules::default().into()
    }
}

impl From<Rules> for RulesView {
    fn from(rules: Rules) -> Self {
        Self {
            failures_max: Count(rules.failures_max),
            failure_percent: Count(rules.failure_percent),
            slow_percent: Count(rules.slow_percent),
            slow_ms: Count(rules.slow_ms),
            calls_min: Count(rules.calls_min),
            window_ms: Count(rules.window_ms),
            open_ms: Count(rules.open_ms),
            open_ms_max: Count(rules.open_ms_max),
            probes_max: Count(rules.probes_max),
            probe_ms: Count(rules.probe_ms),
            successes_min: Count(rules.successes_min),
        }
    }
}

impl TryFrom<RulesView> for Rules {
    type Error = Problem;

    fn try_from(rules: RulesView) -> Result<Self, Problem> {
        for (name, value, least, most) in [
            ("failures_max", rules.failures_max.0, 0, 1_000),
            ("failure_percent", rules.failure_percent.0, 0, 100),
            ("slow_percent", rules.slow_percent.0, 0, 100),
            ("slow_ms", rules.slow_ms.0, 1, 600_000),
            ("calls_min", rules.calls_min.0, 1, 10_000),
            ("window_ms", rules.window_ms.0, 1_000, 3_600_000),
            ("open_ms", rules.open_ms.0, 10, 3_600_000),
            ("open_ms_max", rules.open_ms_max.0, rules.open_ms.0, 3_600_000),
            ("probes_max", rules.probes_max.0, 1, 100),
            ("probe_ms", rules.probe_ms.0, 100, 600_000),
            ("successes_min", rules.successes_min.0, 1, 100),
        ] {
            if !(least..=most).contains(&value) {
                return Err(Problem::new(Code::InvalidRequest, format!("{name} must be {least} to {most}")));
            }
        }
        Ok(Self {
            failures_max: rules.failures_max.0,
            failure_percent: rules.failure_percent.0,
            slow_percent: rules.slow_percent.0,
            slow_ms: rules.slow_ms.0,
            calls_min: rules.calls_min.0,
            window_ms: rules.window_ms.0,
            open_ms: rules.open_ms.0,
            open_ms_max: rules.open_ms_max.0,
            probes_max: rules.probes_max.0,
            probe_ms: rules.probe_ms.0,
            successes_min: rules.successes_min.0,
        })
    }
}
