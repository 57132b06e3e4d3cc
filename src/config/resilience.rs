//! The sections about what goes wrong: reports of failures, and alerts.

use std::time::Duration;

use confique::Config as Section;

/// `[errors]`: how failures are told and remembered.
#[derive(Debug, Clone, Section)]
pub struct Errors {
    /// Texts that stand for those of the catalogue, by language.
    #[config(env = "GREENROOM_ERRORS_TEXTS_FILE")]
    pub texts_file: Option<String>,
    /// The most groups of failures of a tenant.
    #[config(env = "GREENROOM_ERRORS_GROUPS_PER_TENANT_MAX")]
    pub groups_per_tenant_max: u32,
    /// How long a group is remembered after its last failure.
    #[config(env = "GREENROOM_ERRORS_LIFETIME_SECONDS")]
    pub lifetime_seconds: u32,
}

/// `[alerts]`: from when on somebody is told.
#[derive(Debug, Clone, Section)]
pub struct Alerts {
    /// How many agents may live.
    #[config(env = "GREENROOM_ALERTS_AGENTS_LIVE_MAX")]
    pub agents_live_max: u32,
    /// How many percent of the ends may fail.
    #[config(env = "GREENROOM_ALERTS_CLEANUP_FAILURES_PERCENT_MAX")]
    pub cleanup_failures_percent_max: u32,
    /// With fewer ends nothing is said of them.
    #[config(env = "GREENROOM_ALERTS_CLEANUPS_MIN")]
    pub cleanups_min: u32,
    /// How many percent of the lines of the log may be dropped.
    #[config(env = "GREENROOM_ALERTS_LOGS_DROPPED_PERCENT_MAX")]
    pub logs_dropped_percent_max: u32,
    /// With fewer lines nothing is said of them.
    #[config(env = "GREENROOM_ALERTS_LOG_LINES_MIN")]
    pub log_lines_min: u32,
    /// For how many dispatches the provider may fail three times.
    #[config(env = "GREENROOM_ALERTS_PROVIDERS_FAILING_MAX")]
    pub providers_failing_max: u32,
    /// How many percent of the operations may fail.
    #[config(env = "GREENROOM_ALERTS_OPERATION_ERRORS_PERCENT_MAX")]
    pub operation_errors_percent_max: u32,
    /// With fewer operations nothing is said of them.
    #[config(env = "GREENROOM_ALERTS_OPERATIONS_MIN")]
    pub operations_min: u32,
    /// How far back counts go.
    #[config(env = "GREENROOM_ALERTS_WINDOW_SECONDS")]
    pub window_seconds: u32,
    /// How long a rule has to be calm before it is cleared.
    #[config(env = "GREENROOM_ALERTS_CLEAR_AFTER_SECONDS")]
    pub clear_after_seconds: u32,
    /// How often counts are added up and judged.
    #[config(env = "GREENROOM_ALERTS_INTERVAL_MS")]
    pub interval_ms: u64,
}

impl Errors {
    /// `lifetime_seconds` as a duration.
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.lifetime_seconds.into())
    }
}

impl Alerts {
    /// `window_seconds` as a duration.
    pub fn window(&self) -> Duration {
        Duration::from_secs(self.window_seconds.into())
    }

    /// `clear_after_seconds` as a duration.
    pub fn clear_after(&self) -> Duration {
        Duration::from_secs(self.clear_after_seconds.into())
    }

    /// `interval_ms` as a duration.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }
}
