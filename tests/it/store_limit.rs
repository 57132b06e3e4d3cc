//! The script that lends parts of a limit, on a real Redis. Its faults are in `store_faults`.

use std::num::NonZeroU32;
use std::time::Duration;

use greenroom::access::CallerId;

use crate::support::scene::{BEGIN_MS, Scene};

async fn borrow(scene: &Scene, caller: &CallerId, per_second: u32, wanted: u32) -> (u32, u32) {
    let per_second = NonZeroU32::new(per_second).expect("a limit");
    let loan = scene.store.borrow_limit(caller, per_second, wanted).await.expect("an answer");
    assert_eq!(loan.second, scene.now() / 1000);
    assert_eq!(loan.ends_in, Duration::from_millis(1000 - scene.now() % 1000));
    (loan.lent, loan.rest)
}

#[tokio::test]
async fn no_more_is_lent_in_a_second_than_the_limit() {
    let scene = Scene::open().await;
    let (caller, other) = (CallerId::Settings, CallerId::Key(scene.key_id()));
    scene.pass(Duration::from_millis(1000 - BEGIN_MS % 1000));
    assert_eq!(borrow(&scene, &caller, 10, 4).await, (4, 6));
    scene.pass(Duration::from_millis(999));
    assert_eq!(borrow(&scene, &caller, 10, 4).await, (4, 2));
    assert_eq!(borrow(&scene, &caller, 10, 4).await, (2, 0));
    assert_eq!(borrow(&scene, &caller, 10, 4).await, (0, 0));
    assert_eq!(borrow(&scene, &caller, 8, 4).await, (0, 0), "also where the limit was lowered");
    assert_eq!(borrow(&scene, &other, 10, 20).await, (10, 0), "another's is its own");
    // What was not used is not saved up.
    scene.pass(Duration::from_millis(1));
    assert_eq!(borrow(&scene, &caller, 10, 20).await, (10, 0));
}

#[tokio::test]
async fn what_is_lent_is_forgotten_with_its_second() {
    let scene = Scene::open().await;
    borrow(&scene, &CallerId::Key(scene.key_id()), 10, 1).await;
    let ttl: i64 = scene.run(&["PTTL", &scene.keys().shard.limit(&CallerId::Key(scene.key_id()))]).await;
    assert!((1..=2000).contains(&ttl), "{ttl}");
}
