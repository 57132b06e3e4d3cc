//! What the domain is configured with.

use std::collections::HashMap;
use std::time::Duration;

use crate::breaker::{JITTER_MAX, Rules};
use crate::config::{AgentSettings, ReturnPolicy};
use crate::name::Name;
use crate::policy::{CLEANUP, Retry};
use crate::provider::RoomTimeouts;
use crate::store::{AcquireRules, Bounds, ObserveRules};

/// The settings of the domain; each is explained in `config.default.toml`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where agents report to.
    pub public_url: String,
    /// `dispatch.ttl_seconds`
    pub ttl_seconds: u32,
    /// `dispatch.cleanup_interval_ms`
    pub cleanup_interval: Duration,
    /// `dispatch.liveness_window_ms`
    pub liveness_window: Duration,
    /// `dispatch.check_interval_ms`
    pub check_interval: Duration,
    /// `dispatch.heartbeat_believed_ms`
    pub heartbeat_believed: Duration,
    /// `dispatch.return_policy`
    pub return_policy: ReturnPolicy,
    /// `dispatch.join_deadline_ms`
    pub join_deadline: Duration,
    /// `dispatch.join_deadline_with_job_ms`
    pub join_deadline_with_job: Duration,
    /// `dispatch.creation_budget_ms`
    pub creation_budget: Duration,
    /// `dispatch.creation_retries`
    pub creation_retries: u32,
    /// `dispatch.creation_backoff_ms`
    pub creation_backoff: Duration,
    /// A pause before a repetition is drawn between this part of it and the whole; a test that is to run
    /// the same way twice takes the whole.
    pub pause_part_min: f64,
    /// `dispatch.claim_ms`
    pub claim: Duration,
    /// `dispatch.failure_hold_ms`
    pub failure_hold: Duration,
    /// `dispatch.quick_tries`
    pub quick_tries: u32,
    /// `dispatch.slow_try_interval_ms`
    pub slow_try_interval: Duration,
    /// `dispatch.provider_concurrency_max`
    pub provider_concurrency_max: usize,
    /// `dispatch.reconcile_interval_ms`
    pub reconcile_interval: Duration,
    /// `dispatch.observe_only`
    pub observe_only: bool,
    /// `dispatch.age_seconds_max`; 0 is none.
    pub age_seconds_max: u32,
    /// `dispatch.ttl_seconds_min` and `dispatch.ttl_seconds_max` where `dispatch.ttl_adapts`.
    pub ttl_bounds: Option<(u32, u32)>,
    /// `dispatch.live_per_tenant_max`; 0 is none.
    pub live_per_tenant_max: u32,
    /// `dispatch.live_per_agent_max`; 0 is none.
    pub live_per_agent_max: u32,
    /// `breaker`: around calls of the provider.
    pub breaker: Rules,
    /// By how much a breaker is open for a shorter time at most, in thousandths; a test that is to run the same way twice
    /// takes 0.
    pub breaker_jitter_max: u32,
    /// `breaker.room_failures_max`
    pub room_failures_max: u32,
    /// `dispatch.agents`
    pub agents: HashMap<String, AgentSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:8080".to_owned(),
            ttl_seconds: 300,
            cleanup_interval: Duration::from_mins(1),
            liveness_window: Duration::from_secs(15),
            check_interval: Duration::from_secs(10),
            heartbeat_believed: Duration::from_secs(5),
            return_policy: ReturnPolicy::Reported,
            join_deadline: Duration::from_secs(10),
            join_deadline_with_job: Duration::from_mins(1),
            creation_budget: Duration::from_secs(20),
            creation_retries: 3,
            creation_backoff: Duration::from_secs(1),
            pause_part_min: 0.5,
            claim: Duration::from_secs(4),
            failure_hold: Duration::from_secs(2),
            quick_tries: 5,
            slow_try_interval: Duration::from_secs(30),
            provider_concurrency_max: 64,
            reconcile_interval: Duration::from_mins(5),
            observe_only: false,
            age_seconds_max: 0,
            ttl_bounds: None,
            live_per_tenant_max: 0,
            live_per_agent_max: 0,
            breaker: Rules::default(),
            breaker_jitter_max: JITTER_MAX,
            room_failures_max: 3,
            agents: HashMap::new(),
        }
    }
}

/// An agent's last report counts for the believed time; the work of replacing it begins a little
/// earlier, so that the new dispatch exists when that time is over.
const REPLACEMENT_HEAD_START: Duration = Duration::from_millis(500);

/// Rooms are made to outlive their dispatch by this much, so that the dispatch ends first.
const ROOM_MARGIN_SECONDS: u32 = 60;

impl Settings {
    pub(super) fn acquire_rules(&self, agent: &Name, ttl_seconds: Option<u32>, provider: &'static str) -> AcquireRules {
        let own = self.agents.get(agent.as_str());
        let own_ttl = own.and_then(|own| own.ttl_seconds);
        let age_seconds_max = own.and_then(|own| own.age_seconds_max).unwrap_or(self.age_seconds_max);
        AcquireRules {
            ttl_seconds: ttl_seconds.or(own_ttl).unwrap_or(self.ttl_seconds),
            return_policy: own.and_then(|own| own.return_policy).unwrap_or(self.return_policy).as_str(),
            provider,
            liveness_window: self.liveness_window,
            believed: self.heartbeat_believed,
            join_deadline: self.join_deadline,
            claim: self.claim,
            age_seconds_max: (age_seconds_max > 0).then_some(age_seconds_max),
            // Who asks for a time to live of its own wants that one.
            ttl_bounds: self.ttl_bounds.filter(|_| ttl_seconds.is_none()),
            may_create: true,
            id: None,
        }
    }

    /// The bounds on live dispatches that a new one of the agent must keep.
    pub(super) fn bounds(&self, agent: &Name) -> Bounds {
        let own = self.agents.get(agent.as_str()).and_then(|own| own.live_max);
        let bound = |max: u32| (max > 0).then_some(max);
        Bounds { per_tenant: bound(self.live_per_tenant_max), per_agent: bound(own.unwrap_or(self.live_per_agent_max)) }
    }

    pub(super) fn observe_rules(&self) -> ObserveRules {
        ObserveRules {
            believed: self.heartbeat_believed,
            join_deadline: self.join_deadline,
            join_deadline_with_job: self.join_deadline_with_job,
            check_interval: self.check_interval,
            check_interval_max: self.cleanup_interval,
            quick_tries: self.quick_tries,
            slow_try_interval: self.slow_try_interval,
            claim: self.claim,
        }
    }

    /// A pause before something is said again, such that those who failed together do not come together.
    pub(super) fn drawn(&self, pause: Duration) -> Duration {
        pause.mul_f64(rand::random_range(self.pause_part_min..=1.0))
    }

    /// How a creation is tried again at the provider.
    pub(super) fn creation_retry(&self) -> Retry {
        Retry {
            attempts: self.creation_retries + 1,
            pause: self.creation_backoff,
            pause_max: self.creation_budget,
            part_min: self.pause_part_min,
        }
    }

    /// How the removal of what nobody else knows of is tried again.
    pub(super) fn cleanup_retry(&self) -> Retry {
        Retry { part_min: self.pause_part_min, ..CLEANUP }
    }

    pub(super) fn silent_after(&self) -> Duration {
        // Half the time where the believed time is shorter than twice the head start.
        self.heartbeat_believed.saturating_sub(REPLACEMENT_HEAD_START).max(self.heartbeat_believed / 2)
    }
}

/// The time-outs of a room that is made for a dispatch of that time to live.
pub fn room_timeouts(ttl_seconds: u32) -> RoomTimeouts {
    let seconds = ttl_seconds.saturating_add(ROOM_MARGIN_SECONDS);
    RoomTimeouts { empty_timeout_seconds: seconds, departure_timeout_seconds: seconds }
}
