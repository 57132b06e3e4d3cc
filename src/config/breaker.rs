//! The section of the circuit breakers, as the code uses it.

use confique::Config as Section;

/// `[breaker]`: the circuit breakers around calls of the provider.
#[derive(Debug, Clone, Section)]
pub struct Breaker {
    /// So many failures in a row open one; 0 is none.
    #[config(env = "GREENROOM_BREAKER_FAILURES_MAX")]
    pub failures_max: u32,
    /// The same for what makes and clears rooms.
    #[config(env = "GREENROOM_BREAKER_ROOM_FAILURES_MAX")]
    pub room_failures_max: u32,
    /// This share of failures in the window opens one; 0 is none.
    #[config(env = "GREENROOM_BREAKER_FAILURE_PERCENT")]
    pub failure_percent: u32,
    /// This share of slow calls in the window opens one; 0 is none.
    #[config(env = "GREENROOM_BREAKER_SLOW_PERCENT")]
    pub slow_percent: u32,
    /// From when on a call is slow.
    #[config(env = "GREENROOM_BREAKER_SLOW_MS")]
    pub slow_ms: u32,
    /// The shares count from so many calls on.
    #[config(env = "GREENROOM_BREAKER_CALLS_MIN")]
    pub calls_min: u32,
    /// How far the window reaches back.
    #[config(env = "GREENROOM_BREAKER_WINDOW_MS")]
    pub window_ms: u32,
    /// How long one stays open.
    #[config(env = "GREENROOM_BREAKER_OPEN_MS")]
    pub open_ms: u32,
    /// The longest, where probes fail again and again.
    #[config(env = "GREENROOM_BREAKER_OPEN_MS_MAX")]
    pub open_ms_max: u32,
    /// The most probes at once, over all replicas.
    #[config(env = "GREENROOM_BREAKER_PROBES_MAX")]
    pub probes_max: u32,
    /// How long a probe may take.
    #[config(env = "GREENROOM_BREAKER_PROBE_MS")]
    pub probe_ms: u32,
    /// So many probes that succeed close one.
    #[config(env = "GREENROOM_BREAKER_SUCCESSES_MIN")]
    pub successes_min: u32,
}
