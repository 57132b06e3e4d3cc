//! What a breaker costs a call while it is closed.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use greenroom::breaker::{Guard, JITTER_MAX, Rules};
use greenroom::clock::Clock;
use greenroom::store::Hints;
use greenroom::telemetry::Metrics;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::children::{Redis, store};
use super::load::Told;
use super::table::Row;

/// Calls between two looks at the clock.
const CALLS: u32 = 1_000;

/// A call that does nothing, one after another; and the same through a guard.
pub(crate) async fn calls(lasting: Duration) -> [Row; 2] {
    let redis = Redis::start().await;
    let guard = Guard::new(
        "bench",
        Rules::default(),
        JITTER_MAX,
        store(redis.url(), Clock::Redis).await,
        Arc::new(Metrics::new()),
    );
    let over = CancellationToken::new();
    let keeper = tokio::spawn(guard.clone().keep(Hints::default(), over.clone()));
    let bare = again_and_again(lasting, async || nothing().await.is_ok()).await;
    let guarded = again_and_again(lasting, async || guard.call(|_| true, nothing()).await.is_ok()).await;
    over.cancel();
    keeper.await.expect("no panic");
    [Row::new(&bare), Row::new(&guarded)]
}

fn nothing() -> Ready<Result<u64, Infallible>> {
    ready(Ok(black_box(1)))
}

async fn again_and_again(lasting: Duration, call: impl AsyncFn() -> bool) -> Told {
    let (began, mut told) = (Instant::now(), Told::new(Duration::ZERO));
    while began.elapsed() < lasting {
        let round = Instant::now();
        for _ in 0..CALLS {
            assert!(call().await, "it is closed");
        }
        let each_us = u64::try_from(round.elapsed().as_micros()).unwrap_or(u64::MAX) / u64::from(CALLS);
        told.latencies.record_n(each_us, CALLS.into()).expect("in range");
    }
    told.took = began.elapsed();
    told
}
