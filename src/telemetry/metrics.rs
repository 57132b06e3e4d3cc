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

use super::process::Process;
use crate::policy::Operation;
use errors::ErrorMetrics;
use tally::Tally;

mod breakers;
mod errors;
mod tally;

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the duration histograms, in seconds: the reuse path is far below 5 ms, a creation may take 20 s.
const DURATION_BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// The same for lives: from seconds to a day.
const LIFETIME_BOUNDS: [f64; 10] = [10.0, 30.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0];

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BreakerLabel {
    breaker: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BreakerLabels {
    breaker: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RetryLabels {
    operation: &'static str,
    outcome: &'static str,
}

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// The metrics of one replica. Shared behind an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    http_durations: Durations<HttpLabels>,
    http_in_flight: Gauge,
    http_problems: Family<CodeLabels, Counter>,
    rate_limited: Family<LimitLabels, Counter>,
    http_connections: Gauge,
    http_connections_cut: Counter,
    timeouts: Family<OperationLabels, Counter>,
    acquired: Family<OutcomeLabels, Counter>,
    provider_calls: Family<CallLabels, Counter>,
    provider_durations: Durations<CallLabel>,
    retries: Family<RetryLabels, Counter>,
    redispatched: Family<ReasonLabels, Counter>,
    ended: Family<ReasonLabels, Counter>,
    lifetime: Histogram,
    cleanups: Family<OutcomeLabels, Counter>,
    live: Gauge,
    reporting: Gauge,
    reaper_lag: Gauge<f64, AtomicU64>,
    leader: Gauge,
    errors: ErrorMetrics,
    tally: Tally,
    breaker_states: Family<BreakerLabels, Gauge>,
    breaker_degraded: Family<BreakerLabel, Gauge>,
    breaker_refused: Family<BreakerLabel, Counter>,
    breaker_transitions: Family<BreakerLabels, Counter>,
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
            http_problems: Family::default(),
            rate_limited: Family::default(),
            http_connections: Gauge::default(),
            http_connections_cut: Counter::default(),
            timeouts: Family::default(),
            acquired: Family::default(),
            provider_calls: Family::default(),
            provider_durations: Family::new_with_constructor(durations),
            retries: Family::default(),
            redispatched: Family::default(),
            ended: Family::default(),
            lifetime: Histogram::new(LIFETIME_BOUNDS),
            cleanups: Family::default(),
            live: Gauge::default(),
            reporting: Gauge::default(),
            reaper_lag: Gauge::default(),
            leader: Gauge::default(),
            errors: ErrorMetrics::default(),
            tally: Tally::default(),
            breaker_states: Family::default(),
            breaker_degraded: Family::default(),
            breaker_refused: Family::default(),
            breaker_transitions: Family::default(),
        };
        metrics.register_http();
        metrics.register_dispatches();
        metrics.errors.register(metrics.registry.sub_registry_with_prefix("greenroom"));
        metrics.register_breakers();
        metrics
    }

    fn register_http(&mut self) {
        self.registry.register_collector(Box::new(Process));
        let own = self.registry.sub_registry_with_prefix("greenroom");
        own.register("build", "What is running", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        own.register_with_unit(
            "http_request_duration",
            "Time from a request's headers to its answer; its count is the number of requests",
            Unit::Seconds,
            self.http_durations.clone(),
        );
        own.register("http_requests_in_flight", "Requests being answered", self.http_in_flight.clone());
        own.register("http_problems", "Failures and refusals by their code", self.http_problems.clone());
        own.register(
            "rate_limited",
            "Calls refused for coming too fast, by whose limit it was",
            self.rate_limited.clone(),
        );
        own.register("http_connections", "Connections that are open", self.http_connections.clone());
        own.register(
            "http_connections_cut",
            "Connections closed because the peer kept us waiting",
            self.http_connections_cut.clone(),
        );
        own.register("timeouts", "What was given up for taking too long", self.timeouts.clone());
        own.register("leader", "1 while this replica leads", self.leader.clone());
    }

    fn register_dispatches(&mut self) {
        let own = self.registry.sub_registry_with_prefix("greenroom");
        own.register("dispatch_acquired", "Requests for an agent by their outcome", self.acquired.clone());
        own.register("provider_calls", "Calls of the provider by their outcome", self.provider_calls.clone());
        own.register_with_unit(
            "provider_call_duration",
            "Time that calls of the provider took",
            Unit::Seconds,
            self.provider_durations.clone(),
        );
        own.register("retries", "Failures that were tried again, or why they were not", self.retries.clone());
        own.register("redispatches", "Agents dispatched again, by why", self.redispatched.clone());
        own.register("cleanups", "Ends carried out at the provider, by outcome", self.cleanups.clone());
        own.register_with_unit(
            "dispatch_lifetime",
            "Time from a dispatch's creation to its end",
            Unit::Seconds,
            self.lifetime.clone(),
        );
        own.register("dispatches_live", "Dispatches that are looked after; told by the leader", self.live.clone());
        own.register("agents_reporting", "Agents that report; told by the leader", self.reporting.clone());
        own.register("dispatches_ended", "Dispatches that ended, by why", self.ended.clone());
        own.register_with_unit(
            "reaper_lag",
            "How long what the reaper did last had been due",
            Unit::Seconds,
            self.reaper_lag.clone(),
        );
    }

    /// How many dispatches are looked after, where this replica tells it.
    pub fn dispatches_live(&self) -> u64 {
        u64::try_from(self.live.get()).unwrap_or_default()
    }

    /// A request's headers are here. The guard counts it as in flight until it is dropped,
    /// however it ends.
    pub fn http_started(&self) -> Counted {
        self.http_in_flight.inc();
        Counted(self.http_in_flight.clone())
    }

    /// A request was answered.
    pub fn http_answered(&self, labels: HttpLabels, took: Duration) {
        self.http_durations.get_or_create(&labels).observe(took.as_secs_f64());
        // Probes and scrapes would hide what callers see.
        if labels.route.starts_with("/v1/") || labels.route.starts_with("/api/") {
            self.tally.operation(labels.status == "5xx");
        }
    }

    /// A request failed, or was refused, with this code of the catalogue.
    pub fn http_problem(&self, code: &'static str) {
        self.http_problems.get_or_create(&CodeLabels { code }).inc();
    }

    /// A call was one too many, for the limit of a `key`, a `page` or an `address`.
    pub fn rate_limited(&self, limit: &'static str) {
        self.rate_limited.get_or_create(&LimitLabels { limit }).inc();
    }

    /// A connection was accepted. The guard counts it until it is dropped.
    pub fn connected(&self) -> Counted {
        self.http_connections.inc();
        Counted(self.http_connections.clone())
    }

    /// A connection was closed because its peer kept us waiting.
    pub fn connection_cut(&self) {
        self.http_connections_cut.inc();
    }

    /// Something was given up for taking too long: `request`, `creation`.
    pub fn timed_out(&self, operation: &'static str) {
        self.timeouts.get_or_create(&OperationLabels { operation }).inc();
    }

    /// Somebody asked for an agent.
    pub fn dispatch_acquired(&self, outcome: AcquireOutcome) {
        self.acquired.get_or_create(&OutcomeLabels { outcome: outcome.as_str() }).inc();
    }

    /// The provider was called; `call` is its name in our code, `outcome` `ok` or the kind of error.
    pub fn provider_called(&self, call: &'static str, outcome: &'static str, took: Duration) {
        self.provider_calls.get_or_create(&CallLabels { call, outcome }).inc();
        self.provider_durations.get_or_create(&CallLabel { call }).observe(took.as_secs_f64());
        self.tally.operation(outcome != "ok");
    }

    /// An attempt failed; `outcome` is `retried`, or why it is not tried again.
    pub fn attempt_failed(&self, operation: Operation, outcome: &'static str) {
        self.retries.get_or_create(&RetryLabels { operation: operation.as_str(), outcome }).inc();
    }

    /// An agent was lost, and is dispatched again.
    pub fn redispatched(&self, reason: &'static str) {
        self.redispatched.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// A dispatch was to be removed at the provider; did it succeed?
    pub fn cleaned_up(&self, success: bool) {
        self.tally.cleanup(!success);
        let outcome = if success { "ok" } else { "failed" };
        self.cleanups.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// A dispatch ended after this time.
    pub fn dispatch_ended(&self, reason: &'static str, lived: Duration) {
        self.ended.get_or_create(&ReasonLabels { reason }).inc();
        self.lifetime.observe(lived.as_secs_f64());
    }

    /// How many dispatches there are in all, and agents that report; nought where another replica tells it.
    pub fn set_census(&self, live: u64, reporting: u64) {
        self.live.set(live.try_into().unwrap_or(i64::MAX));
        self.reporting.set(reporting.try_into().unwrap_or(i64::MAX));
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

/// Counts in a gauge until it is dropped.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
