//! What the tests stand on: a `redis-server` of their own, and waiting for a condition.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::time::{Duration, Instant};

pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod contract;
pub(crate) mod pool_scene;
pub(crate) mod pool_state;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod replica;
pub(crate) mod scene;
pub(crate) mod server;
pub(crate) mod stage;
pub(crate) mod yard;

/// How long a test waits for what should happen: generous, for no test asserts a speed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The same where it is for Sentinels to do: one that was starved for two seconds does nothing for half a minute (`TILT` in
/// Redis's documentation).
pub(crate) const PATIENCE_WITH_SENTINELS: Duration = Duration::from_mins(1);

/// How large a test is: what the variable says, or small.
pub(crate) fn size_of_test(variable: &str, small: usize) -> usize {
    let Ok(text) = std::env::var(variable) else { return small };
    text.parse().unwrap_or_else(|_| panic!("{variable} must be a number"))
}

/// Asks again and again until there is an answer; fails the test when there is none in time.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, ask).await
}

/// The same, with another patience.
pub(crate) async fn eventually_within<T>(patience: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
