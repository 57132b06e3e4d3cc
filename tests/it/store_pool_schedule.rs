//! Pools that are kept warmer at some hours than at others.

use std::time::Duration;

use greenroom::pool::{PoolSettings, Schedule, WINDOWS_MAX, Window};

use crate::support::pool_scene::{PoolScene, TestRunner};

const HOUR: Duration = Duration::from_hours(1);

fn window(from: u16, to: u16, spare: u32, min: u32) -> Window {
    Window { days: Vec::new(), from, to, time_zone: "UTC".to_owned(), spare, min }
}

/// Scenes begin on Sunday, 15 June 2025, at 15:06:40 UTC.
fn settings(windows: Vec<Window>) -> PoolSettings {
    let mut settings = PoolSettings { foresee: false, schedule: Schedule(windows), ..PoolSettings::default() };
    (settings.numbers.spare, settings.numbers.max, settings.numbers.cool_down_ms) = (1, 8, 0);
    (settings.numbers.starts_max, settings.numbers.age_ms) = (20, 1_209_600_000);
    settings
}

#[tokio::test]
async fn a_schedule_warms_a_pool_up_by_redis_s_own_clock_and_lets_it_cool_again() {
    let pool = PoolScene::open(settings(vec![window(16 * 60, 18 * 60, 4, 0), window(17 * 60, 20 * 60, 0, 6)])).await;
    let mut runner = TestRunner::new("one", 20);
    for (at, workers, reason) in [
        ("15:06", 1, "spare"),
        ("16:06", 4, "scheduled"),
        ("17:06", 6, "scheduled"),
        ("18:06", 6, "scheduled"),
        ("20:06", 1, "spare"),
    ] {
        pool.sync(&mut runner).await;
        pool.settle(&mut runner).await;
        let plan = pool.plan().await;
        assert_eq!((pool.status().await.spare, plan.reason.as_str()), (workers, reason), "{at}");
        pool.scene.pass(if at == "18:06" { 2 * HOUR } else { HOUR });
    }
    let reasons: Vec<_> = pool.status().await.plans.into_iter().map(|plan| plan.reason).collect();
    assert!(reasons.contains(&"scheduled".to_owned()), "{reasons:?}");
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn a_schedule_is_within_the_bound_wakes_a_pool_that_sleeps_and_may_be_changed_meanwhile() {
    let mut sleepy = settings(vec![window(16 * 60, 18 * 60, 100, 0)]);
    sleepy.numbers.zero_ms = 60_000;
    let pool = PoolScene::open(sleepy.clone()).await;
    let mut runner = TestRunner::new("one", 20);
    pool.sync(&mut runner).await;
    pool.settle(&mut runner).await;
    pool.scene.pass(Duration::from_mins(2));
    pool.sync(&mut runner).await;
    pool.settle(&mut runner).await;
    assert_eq!((pool.status().await.spare, pool.plan().await.reason.as_str()), (0, "unused"));
    pool.scene.pass(HOUR);
    pool.sync(&mut runner).await;
    pool.settle(&mut runner).await;
    assert_eq!((pool.status().await.spare, pool.plan().await.reason.as_str()), (8, "max"));
    sleepy.schedule = Schedule(vec![window(16 * 60, 18 * 60, 2, 0)]);
    pool.define(&sleepy).await;
    pool.settle(&mut runner).await;
    assert_eq!((pool.status().await.spare, pool.plan().await.reason.as_str()), (2, "scheduled"));
    // One that is drained goes, whatever its schedule says.
    pool.define(&PoolSettings { draining: true, ..sleepy }).await;
    pool.settle(&mut runner).await;
    assert_eq!(pool.status().await.spare, 0);
}

#[tokio::test]
async fn a_schedule_is_kept_whole() {
    let windows = (0..WINDOWS_MAX).map(|n| window(u16::try_from(n).expect("small"), 1_440, 1, 2)).collect();
    let pool = PoolScene::open(settings(windows)).await;
    let kept = pool.scene.store.pool(&pool.pool).await.expect("an answer").expect("a pool");
    assert_eq!(kept.settings, pool.settings);
    pool.define(&settings(Vec::new())).await;
    let kept = pool.scene.store.pool(&pool.pool).await.expect("an answer").expect("a pool");
    assert_eq!(kept.settings.schedule, Schedule::default());
}
