//! Metrics of greenroom's own breakers.

use super::{BreakerLabel, BreakerLabels, Metrics};

impl Metrics {
    pub(super) fn register_breakers(&mut self) {
        let own = self.registry.sub_registry_with_prefix("greenroom");
        own.register("breaker_state", "1 for the state that the breaker is in", self.breaker_states.clone());
        own.register(
            "breaker_degraded",
            "1 while the breaker goes on for this replica alone, since Redis is away",
            self.breaker_degraded.clone(),
        );
        own.register("breaker_refused", "Calls that the breaker did not let through", self.breaker_refused.clone());
        own.register(
            "breaker_transitions",
            "Transitions that a call of this replica brought, by the state that came of them",
            self.breaker_transitions.clone(),
        );
    }

    /// The state that a breaker of our own is in.
    pub fn set_breaker_state(&self, breaker: &'static str, state: &'static str) {
        for other in ["closed", "half_open", "open"] {
            self.breaker_states.get_or_create(&BreakerLabels { breaker, state: other }).set(i64::from(other == state));
        }
    }

    /// Whether a breaker of our own goes on for this replica alone.
    pub fn set_breaker_degraded(&self, breaker: &'static str, degraded: bool) {
        self.breaker_degraded.get_or_create(&BreakerLabel { breaker }).set(i64::from(degraded));
    }

    /// A breaker of our own did not let a call through.
    pub fn breaker_refused(&self, breaker: &'static str) {
        self.breaker_refused.get_or_create(&BreakerLabel { breaker }).inc();
    }

    /// A call of this replica brought a breaker of our own into this state.
    pub fn breaker_moved(&self, breaker: &'static str, state: &'static str) {
        self.breaker_transitions.get_or_create(&BreakerLabels { breaker, state }).inc();
    }
}
