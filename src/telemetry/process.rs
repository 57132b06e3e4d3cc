//! What the process costs and tells, read when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Lines of the log by level. There is one log a process, whatever the number of replicas in it.
static LINES: [(&str, AtomicU64); 5] = [
    ("error", AtomicU64::new(0)),
    ("warn", AtomicU64::new(0)),
    ("info", AtomicU64::new(0)),
    ("debug", AtomicU64::new(0)),
    ("trace", AtomicU64::new(0)),
];

/// Lines that were not logged, for there were too many.
static LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines of the log were dropped, so many.
pub fn dropped_lines(lines: u64) {
    LINES_DROPPED.fetch_add(lines, Ordering::Relaxed);
}

/// How many lines were written, and how many dropped, since the process began.
pub(super) fn log_lines() -> (u64, u64) {
    let written = LINES.iter().map(|(_, count)| count.load(Ordering::Relaxed)).sum();
    (written, LINES_DROPPED.load(Ordering::Relaxed))
}

/// Counts the lines that are logged.
#[derive(Debug)]
pub(super) struct CountLines;

impl<S: Subscriber> Layer<S> for CountLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let at = match *event.metadata().level() {
            Level::ERROR => 0,
            Level::WARN => 1,
            Level::INFO => 2,
            Level::DEBUG => 3,
            Level::TRACE => 4,
        };
        LINES[at].1.fetch_add(1, Ordering::Relaxed);
    }
}

/// Memory and files in use, as Linux has it, and lines logged.
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
        let mut lines =
            encoder.encode_descriptor("greenroom_log_lines", "Lines logged, by level", None, MetricType::Counter)?;
        for (level, count) in &LINES {
            let labels = [("level", *level)];
            ConstCounter::new(count.load(Ordering::Relaxed)).encode(lines.encode_family(&labels)?)?;
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
