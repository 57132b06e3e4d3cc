//! Rules, counts and states of alerts: no transport, no store.

use std::time::Duration;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// How many agents live.
    AgentsLive,
    /// Which part of the ends at the provider failed.
    CleanupFailures,
    /// Which part of the lines of the log was dropped.
    LogsDropped,
    /// For how many dispatches the provider failed three times.
    ProviderFailing,
    /// Which part of the requests and of the calls of the provider failed.
    OperationErrors,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 5] =
        [Self::AgentsLive, Self::CleanupFailures, Self::LogsDropped, Self::ProviderFailing, Self::OperationErrors];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AgentsLive => "agents_live",
            Self::CleanupFailures => "cleanup_failures",
            Self::LogsDropped => "logs_dropped",
            Self::ProviderFailing => "provider_failing",
            Self::OperationErrors => "operation_errors",
        }
    }

    /// The rule of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == word)
    }

    /// What its value counts.
    pub fn unit(self) -> &'static str {
        match self {
            Self::AgentsLive => "agents",
            Self::CleanupFailures | Self::LogsDropped | Self::OperationErrors => "percent",
            Self::ProviderFailing => "dispatches",
        }
    }

    /// What it means that it is raised.
    pub fn description(self) -> &'static str {
        match self {
            Self::AgentsLive => "More agents live than expected.",
            Self::CleanupFailures => "Too many ends fail at the provider: agents may stay in empty rooms.",
            Self::LogsDropped => "Too many lines of the log are dropped.",
            Self::ProviderFailing => {
                "The provider failed three times for a dispatch: its creation, or what is due for it."
            }
            Self::OperationErrors => "Too many requests and calls of the provider fail.",
        }
    }
}

/// From which value on a rule is raised: anything over it.
pub type Threshold = u32;

/// The rules as they are set.
#[derive(Debug, Clone, Copy)]
pub struct AlertRules {
    /// How many agents may live.
    pub agents_live_max: Threshold,
    /// How many percent of the ends may fail.
    pub cleanup_failures_percent_max: Threshold,
    /// With fewer ends in the window nothing is said of them.
    pub cleanups_min: u64,
    /// How many percent of the lines may be dropped.
    pub logs_dropped_percent_max: Threshold,
    /// With fewer lines in the window nothing is said of them.
    pub log_lines_min: u64,
    /// For how many dispatches the provider may fail three times.
    pub providers_failing_max: Threshold,
    /// How many percent of the operations may fail.
    pub operation_errors_percent_max: Threshold,
    /// With fewer operations in the window nothing is said of them.
    pub operations_min: u64,
    /// How far back counts go.
    pub window: Duration,
    /// How long a rule has to be calm before it is cleared.
    pub clear_after: Duration,
    /// How often a replica adds its counts, and the leader judges.
    pub interval: Duration,
}

/// What happened in a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests answered, and calls of the provider.
    pub operations: u64,
    /// Those that failed.
    pub operation_errors: u64,
    /// Ends tried at the provider.
    pub cleanups: u64,
    /// Those that failed.
    pub cleanup_failures: u64,
    /// Lines of the log that were written.
    pub log_lines: u64,
    /// Lines that were dropped.
    pub log_lines_dropped: u64,
    /// Dispatches for which the provider failed for the third time.
    pub providers_failing: u64,
}

/// A rule's value, in thousandths, so that no fraction is lost on the way through Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Which rule.
    pub rule: Rule,
    /// Its value.
    pub value_milli: u64,
    /// What it must be over to be raised.
    pub threshold_milli: u64,
    /// What it must not be over to be calm.
    pub calm_milli: u64,
}

impl AlertRules {
    /// The threshold of a rule.
    pub fn threshold(&self, rule: Rule) -> Threshold {
        match rule {
            Rule::AgentsLive => self.agents_live_max,
            Rule::CleanupFailures => self.cleanup_failures_percent_max,
            Rule::LogsDropped => self.logs_dropped_percent_max,
            Rule::ProviderFailing => self.providers_failing_max,
            Rule::OperationErrors => self.operation_errors_percent_max,
        }
    }

    /// The value of every rule, from the counts of the window and the agents that live.
    pub fn read(&self, counts: &Counts, agents_live: u64) -> [Reading; Rule::ALL.len()] {
        Rule::ALL.map(|rule| {
            let value_milli = match rule {
                Rule::AgentsLive => agents_live.saturating_mul(1000),
                Rule::ProviderFailing => counts.providers_failing.saturating_mul(1000),
                Rule::CleanupFailures => percent_milli(counts.cleanup_failures, counts.cleanups, self.cleanups_min),
                Rule::LogsDropped => {
                    let all = counts.log_lines.saturating_add(counts.log_lines_dropped);
                    percent_milli(counts.log_lines_dropped, all, self.log_lines_min)
                }
                Rule::OperationErrors => percent_milli(counts.operation_errors, counts.operations, self.operations_min),
            };
            let threshold_milli = u64::from(self.threshold(rule)) * 1000;
            Reading { rule, value_milli, threshold_milli, calm_milli: threshold_milli / 5 * 4 }
        })
    }
}

/// Which part it is of all, in thousandths of a percent; nought where there are too few to tell.
fn percent_milli(part: u64, all: u64, min: u64) -> u64 {
    if all < min { 0 } else { part.saturating_mul(100_000).checked_div(all).unwrap_or_default() }
}

impl Counts {
    /// What came in addition since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            operations: self.operations.saturating_sub(before.operations),
            operation_errors: self.operation_errors.saturating_sub(before.operation_errors),
            cleanups: self.cleanups.saturating_sub(before.cleanups),
            cleanup_failures: self.cleanup_failures.saturating_sub(before.cleanup_failures),
            log_lines: self.log_lines.saturating_sub(before.log_lines),
            log_lines_dropped: self.log_lines_dropped.saturating_sub(before.log_lines_dropped),
            providers_failing: self.providers_failing.saturating_sub(before.providers_failing),
        }
    }
}

/// Whether a rule is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertState {
    /// All is well.
    Ok,
    /// Its value is over the threshold, or was a moment ago.
    Raised,
}

impl AlertState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Raised => "raised",
        }
    }
}

/// A rule, and how it stands. Values are in thousandths, times in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Which rule.
    pub rule: Rule,
    /// Whether it is raised.
    pub state: AlertState,
    /// Its value when it was judged last; none before.
    pub value_milli: Option<u64>,
    /// Its threshold then, or as it is set.
    pub threshold_milli: u64,
    /// Since when its state is what it is; none where it never was another.
    pub since_ms: Option<u64>,
    /// Until when nobody is told that it is raised, while that lasts.
    pub snoozed_until_ms: Option<u64>,
    /// When it was raised last.
    pub raised_at_ms: Option<u64>,
    /// When it was cleared last.
    pub cleared_at_ms: Option<u64>,
}

/// What is to be told of a rule now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is raised.
    Raised,
    /// It is over.
    Cleared,
}

/// A rule that was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// Which rule.
    pub rule: Rule,
    /// Whether it is raised, and not snoozed.
    pub rings: bool,
    /// What is to be told, by who judged and nobody else.
    pub change: Option<Change>,
}

/// Why alerts were not told, or not snoozed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AlertError {
    /// The caller is bound to a tenant, and alerts concern all.
    #[error("alerts concern all tenants")]
    Forbidden,
    /// The `Idempotency-Key` was used for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// Redis is not reachable, or does not take writes now.
    #[error("the store is unavailable: {detail}")]
    StoreUnavailable {
        /// For a developer.
        detail: String,
    },
    /// A defect.
    #[error("internal error: {detail}")]
    Internal {
        /// For a developer.
        detail: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: AlertRules = AlertRules {
        agents_live_max: 20,
        cleanup_failures_percent_max: 10,
        cleanups_min: 5,
        logs_dropped_percent_max: 5,
        log_lines_min: 100,
        providers_failing_max: 0,
        operation_errors_percent_max: 10,
        operations_min: 20,
        window: Duration::from_mins(5),
        clear_after: Duration::from_mins(1),
        interval: Duration::from_secs(5),
    };

    fn over(counts: Counts, agents_live: u64) -> Vec<&'static str> {
        let readings = RULES.read(&counts, agents_live);
        readings.iter().filter(|it| it.value_milli > it.threshold_milli).map(|it| it.rule.as_str()).collect()
    }

    #[test]
    fn a_rule_is_over_its_threshold_and_not_at_it() {
        assert_eq!(over(Counts::default(), 20), Vec::<&str>::new());
        assert_eq!(over(Counts::default(), 21), ["agents_live"]);
        let errors = |operation_errors, operations| Counts { operations, operation_errors, ..Counts::default() };
        assert!(over(errors(2, 20), 0).is_empty(), "ten percent are not more than ten");
        assert_eq!(over(errors(3, 20), 0), ["operation_errors"]);
        assert!(over(errors(19, 19), 0).is_empty(), "too few to tell");
        let cleanups = |cleanup_failures, cleanups| Counts { cleanups, cleanup_failures, ..Counts::default() };
        assert!(over(cleanups(4, 4), 0).is_empty());
        assert_eq!(over(cleanups(1, 5), 0), ["cleanup_failures"]);
        assert!(over(cleanups(1, 10), 0).is_empty());
        let logs = |log_lines_dropped, log_lines| Counts { log_lines, log_lines_dropped, ..Counts::default() };
        assert!(over(logs(5, 95), 0).is_empty());
        assert_eq!(over(logs(6, 94), 0), ["logs_dropped"], "of all, not of those written");
        assert_eq!(over(Counts { providers_failing: 1, ..Counts::default() }, 0), ["provider_failing"]);
        assert!(over(errors(u64::MAX, u64::MAX), u64::MAX).contains(&"agents_live"), "no overflow");
    }

    #[test]
    fn a_rule_is_calm_a_fifth_below_its_threshold() {
        for reading in RULES.read(&Counts::default(), 0) {
            assert!(reading.calm_milli < reading.threshold_milli || reading.threshold_milli == 0, "{reading:?}");
        }
        assert_eq!(RULES.read(&Counts::default(), 0)[0].calm_milli, 16_000);
        assert!(Rule::ALL.into_iter().all(|rule| Rule::parse(rule.as_str()) == Some(rule)));
    }
}
