//! What the alerts are judged by, as plain numbers that can be read again.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Metrics;
use crate::alert::Counts;
use crate::telemetry::logs;

#[derive(Debug, Default)]
pub(super) struct Tally {
    operations: AtomicU64,
    operation_errors: AtomicU64,
    cleanups: AtomicU64,
    cleanup_failures: AtomicU64,
    providers_failing: AtomicU64,
}

impl Tally {
    pub(super) fn operation(&self, failed: bool) {
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.operation_errors.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    pub(super) fn cleanup(&self, failed: bool) {
        self.cleanups.fetch_add(1, Ordering::Relaxed);
        self.cleanup_failures.fetch_add(u64::from(failed), Ordering::Relaxed);
    }
}

impl Metrics {
    /// The provider failed for the third time for a dispatch.
    pub fn provider_failing(&self) {
        self.tally.providers_failing.fetch_add(1, Ordering::Relaxed);
    }

    /// What the alerts are judged by, since the replica began; lines of the log since the process did.
    pub fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let lines = logs::counts();
        let (log_lines, log_lines_dropped) = (lines.written.iter().sum(), lines.dropped.iter().sum());
        Counts {
            operations: of(&self.tally.operations),
            operation_errors: of(&self.tally.operation_errors),
            cleanups: of(&self.tally.cleanups),
            cleanup_failures: of(&self.tally.cleanup_failures),
            log_lines,
            log_lines_dropped,
            providers_failing: of(&self.tally.providers_failing),
        }
    }
}
