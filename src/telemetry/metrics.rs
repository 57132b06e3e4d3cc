//! Every metric of a replica, in OpenMetrics text. Labels are bounded: never a room, never an id.
//!
//! A registry belongs to an instance, so several replicas in one process count for themselves.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::process::ProcessMemory;

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the duration histograms, in seconds: the reuse path is far below 5 ms, a creation may take 20 s.
const DURATION_BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// How an acquire ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcquireOutcome {
    /// A dispatch was made.
    Created,
    /// The live one was found.
    Reused,
    /// It was still under way when the caller's patience ended.
    Pending,
    /// It may not be made: its agent drains, or a bound is reached.
    Refused,
    /// It could not be made.
    Failed,
}

impl AcquireOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Reused => "reused",
            Self::Pending => "pending",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What an HTTP request was, in labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HttpLabels {
    /// The route's template, such as `/v1/dispatches/{id}`.
    pub route: &'static str,
    /// `GET`, `POST` … `other`.
    pub method: &'static str,
    /// `2xx`, `4xx` …
    pub status: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabel {
    call: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// The metrics of one replica. Shared behind an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    http_durations: Durations<HttpLabels>,
    http_in_flight: Gauge,
    acquired: Family<OutcomeLabels, Counter>,
    provider_calls: Family<CallLabels, Counter>,
    provider_durations: Durations<CallLabel>,
    ended: Family<ReasonLabels, Counter>,
    reaper_lag: Gauge<f64, AtomicU64>,
    leader: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that start at nought.
    pub fn new() -> Self {
        let durations = || Histogram::new(DURATION_BOUNDS);
        let mut metrics = Self {
            registry: Registry::default(),
            http_durations: Family::new_with_constructor(durations),
            http_in_flight: Gauge::default(),
            acquired: Family::default(),
            provider_calls: Family::default(),
            provider_durations: Family::new_with_constructor(durations),
            ended: Family::default(),
            reaper_lag: Gauge::default(),
            leader: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        self.registry.register_collector(Box::new(ProcessMemory));
        let own = self.registry.sub_registry_with_prefix("greenroom");
        own.register("build", "What is running", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        own.register_with_unit(
            "http_request_duration",
            "Time from a request's headers to its answer; its count is the number of requests",
            Unit::Seconds,
            self.http_durations.clone(),
        );
        own.register("http_requests_in_flight", "Requests being answered", self.http_in_flight.clone());
        own.register("dispatch_acquired", "Requests for an agent by their outcome", self.acquired.clone());
        own.register("provider_calls", "Calls of the provider by their outcome", self.provider_calls.clone());
        own.register_with_unit(
            "provider_call_duration",
            "Time that calls of the provider took",
            Unit::Seconds,
            self.provider_durations.clone(),
        );
        own.register("dispatches_ended", "Dispatches that ended, by why", self.ended.clone());
        own.register_with_unit(
            "reaper_lag",
            "How long what the reaper did last had been due",
            Unit::Seconds,
            self.reaper_lag.clone(),
        );
        own.register("leader", "1 while this replica leads", self.leader.clone());
    }

    /// A request's headers are here. The guard counts it as in flight until it is dropped,
    /// however it ends.
    pub fn http_started(&self) -> InFlight {
        self.http_in_flight.inc();
        InFlight(self.http_in_flight.clone())
    }

    /// A request was answered.
    pub fn http_answered(&self, labels: HttpLabels, took: Duration) {
        self.http_durations.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Somebody asked for an agent.
    pub fn dispatch_acquired(&self, outcome: AcquireOutcome) {
        self.acquired.get_or_create(&OutcomeLabels { outcome: outcome.as_str() }).inc();
    }

    /// The provider was called; `call` is its name in our code, `outcome` `ok` or the kind of error.
    pub fn provider_called(&self, call: &'static str, outcome: &'static str, took: Duration) {
        self.provider_calls.get_or_create(&CallLabels { call, outcome }).inc();
        self.provider_durations.get_or_create(&CallLabel { call }).observe(took.as_secs_f64());
    }

    /// A dispatch ended.
    pub fn dispatch_ended(&self, reason: &'static str) {
        self.ended.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// How long the thing that the reaper has just taken up had been due.
    pub fn reaper_lag(&self, lag: Duration) {
        self.reaper_lag.set(lag.as_secs_f64());
    }

    /// Whether this replica leads.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// All of it, as OpenMetrics text.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::with_capacity(8 * 1024);
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instance_counts_for_itself() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.dispatch_acquired(AcquireOutcome::Reused);
        one.dispatch_acquired(AcquireOutcome::Reused);
        one.provider_called("look", "ok", Duration::from_millis(3));
        one.dispatch_ended("ttl");
        one.set_leader(true);
        one.reaper_lag(Duration::from_millis(250));
        one.http_answered(HttpLabels { route: "/v1/x", method: "GET", status: "2xx" }, Duration::from_micros(80));
        let text = one.encode().unwrap();
        for line in [
            "greenroom_dispatch_acquired_total{outcome=\"reused\"} 2",
            "greenroom_provider_calls_total{call=\"look\",outcome=\"ok\"} 1",
            "greenroom_provider_call_duration_seconds_count{call=\"look\"} 1",
            "greenroom_dispatches_ended_total{reason=\"ttl\"} 1",
            "greenroom_leader 1",
            "greenroom_reaper_lag_seconds 0.25",
            "greenroom_http_request_duration_seconds_count{route=\"/v1/x\",method=\"GET\",status=\"2xx\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
        assert!(
            text.contains(concat!("greenroom_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")),
            "{text}"
        );
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
        assert!(text.ends_with("# EOF\n"));
        assert!(!other.encode().unwrap().contains("reused"));
    }

    #[test]
    fn a_request_is_in_flight_until_its_guard_is_dropped() {
        let metrics = Metrics::new();
        let guard = metrics.http_started();
        assert!(metrics.encode().unwrap().contains("greenroom_http_requests_in_flight 1"));
        drop(guard);
        assert!(metrics.encode().unwrap().contains("greenroom_http_requests_in_flight 0"));
    }
}
