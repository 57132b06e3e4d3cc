//! What the process costs, read when somebody asks.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// Memory in use, as Linux has it.
#[derive(Debug)]
pub(super) struct ProcessMemory;

impl Collector for ProcessMemory {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        // Nothing is said where nothing is known: zero would be a lie.
        let Some(bytes) = resident_bytes() else { return Ok(()) };
        let metric = encoder.encode_descriptor(
            "process_resident_memory_bytes",
            "Memory of the process that is in RAM",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(bytes).encode(metric)
    }
}

/// Pages are 4 KiB on every platform that greenroom is built for.
const PAGE_BYTES: i64 = 4096;

fn resident_bytes() -> Option<i64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_has_some_memory() {
        assert!(super::resident_bytes().unwrap() > 1 << 20);
    }
}
