//! The section of the pools, as the code uses it.

use std::time::Duration;

use confique::Config as Section;

/// `[pool]`: how a pool is that nobody defined, or said nothing else of.
#[derive(Debug, Clone, Section)]
pub struct Pool {
    /// How many ready workers wait for sessions.
    #[config(env = "CONTAINER_POOL_MIN_SIZE")]
    pub spare: u32,
    /// The most workers there are.
    #[config(env = "CONTAINER_POOL_MAX_SIZE")]
    pub max: u32,
    /// After so many sessions a worker is replaced.
    #[config(env = "MAX_SESSIONS_PER_CONTAINER")]
    pub sessions_max: u32,
    /// After so many minutes a worker is replaced.
    #[config(env = "CONTAINER_TTL_MINUTES")]
    pub age_minutes: u32,
    /// For how long a silent runner is believed to live.
    #[config(env = "GREENROOM_POOL_RUNNER_BELIEVED_MS")]
    pub runner_believed_ms: u64,
}

impl Pool {
    /// For how long a silent runner is believed to live.
    pub fn runner_believed(&self) -> Duration {
        Duration::from_millis(self.runner_believed_ms)
    }
}
