//! The table, in Markdown.

use super::load::Told;

/// A line of the table.
#[derive(Debug, Default, Clone)]
pub(crate) struct Row {
    name: String,
    pub(crate) per_second: f64,
    p50_us: u64,
    p99_us: u64,
    replica_cpu_us: Option<f64>,
    redis_cpu_us: Option<f64>,
    of_limit: Option<f64>,
}

fn exact(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Microseconds of a processor for each of `count`, of seconds for all.
fn each_us(cpu: f64, count: u64) -> f64 {
    cpu * 1e6 / exact(count.max(1))
}

impl Row {
    pub(crate) fn new(told: &Told) -> Self {
        Self {
            per_second: exact(told.count()) / told.took.as_secs_f64(),
            p50_us: told.latencies.value_at_quantile(0.5),
            p99_us: told.latencies.value_at_quantile(0.99),
            ..Self::default()
        }
    }

    pub(crate) fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    pub(crate) fn replica_cpu(self, cpu: f64, count: u64) -> Self {
        Self { replica_cpu_us: Some(each_us(cpu, count)), ..self }
    }

    pub(crate) fn redis_cpu(self, cpu: f64, count: u64) -> Self {
        Self { redis_cpu_us: Some(each_us(cpu, count)), ..self }
    }

    pub(crate) fn compared_to(self, limit: f64) -> Self {
        let of_limit = Some(self.per_second / limit);
        Self { of_limit, ..self }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn push(&mut self, row: Row) {
        self.0.push(row);
    }

    /// Prints it with its head.
    pub(crate) fn print(&self) {
        let one = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"));
        println!("| path | requests/s | p50 ms | p99 ms | replica CPU µs | Redis CPU µs | of the bare handler |");
        println!("|---|--:|--:|--:|--:|--:|--:|");
        for row in &self.0 {
            let ms = |us: u64| format!("{:.2}", exact(us) / 1000.0);
            println!(
                "| {} | {:.0} | {} | {} | {} | {} | {} |",
                row.name,
                row.per_second,
                ms(row.p50_us),
                ms(row.p99_us),
                one(row.replica_cpu_us),
                one(row.redis_cpu_us),
                row.of_limit.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", share * 100.0)),
            );
        }
    }
}
