//! What the process costs and tells, read when somebody asks.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tracing::field::Empty;

use super::log_limit::LEVELS;
use super::logs;

/// Memory and files in use, as Linux has it, and lines of the log.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory of the process that is in RAM", resident_bytes()),
            ("process_open_fds", "Files and connections that are open", open_files()),
            ("process_max_fds", "Files and connections that may be open", open_files_max()),
        ] {
            // Nothing is said where nothing is known: zero would be a lie.
            let Some(value) = value.and_then(|value| i64::try_from(value).ok()) else { continue };
            ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let lines = logs::counts();
        for (name, help, counts) in [
            ("greenroom_log_lines", "Lines written to the log, by level", lines.written),
            ("greenroom_log_lines_folded", "Lines that repeated one, and are told by a count", lines.folded),
            ("greenroom_log_lines_dropped", "Lines that were too many for the log", lines.dropped),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (level, count) in LEVELS.into_iter().zip(counts) {
                ConstCounter::new(count).encode(family.encode_family(&[("level", level)])?)?;
            }
        }
        Ok(())
    }
}

/// How many files and connections the process may have open.
pub fn open_files_max() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Logs that the process has more memory in RAM than this; 0 is no bound.
pub(super) fn warn_of_memory(bytes_max: u64) {
    let bytes = resident_bytes().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default();
    if bytes_max > 0 && bytes > bytes_max {
        tracing::warn!(line.minutely = Empty, bytes, bytes_max, "the process has much memory");
    }
}

fn open_files() -> Option<usize> {
    // The directory that is read is open itself.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

/// Pages are 4 KiB on every platform that greenroom is built for.
const PAGE_BYTES: usize = 4096;

fn resident_bytes() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_has_some_memory_and_files() {
        assert!(resident_bytes().unwrap() > 1 << 20);
        assert!(open_files().unwrap() > 2 && open_files().unwrap() < open_files_max().unwrap());
    }
}
