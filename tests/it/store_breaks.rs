//! Breaks: agents that all fall silent at once, and a store that is an older copy of itself.

use std::time::Duration;

use greenroom::dispatch::{Place, SessionState};
use greenroom::name::Name;
use greenroom::store::{Silence, Verdict};

use crate::support::scene::{BEGIN_MS, BELIEVED, CLAIM, Scene, TERM};

/// Agents of so many rooms of one shard report.
async fn reporting(scene: &Scene, count: usize) -> Vec<Place> {
    let shard = scene.keys().shard;
    let rooms = (0..).map(|n| Place { room: Name::room(format!("r{n}")).expect("a name"), ..scene.place.clone() });
    let places: Vec<Place> = rooms.filter(|place| scene.store.new_id(place).shard() == shard.0).take(count).collect();
    for place in &places {
        let asked = scene.store.acquire(place, "", &scene.acquire_rules(), None).await.expect("an answer");
        scene.commit(&asked.expect("one may be made").1, "AD_1").await.expect("a commit");
        report(scene, place).await;
    }
    places
}

async fn report(scene: &Scene, place: &Place) {
    let found = scene.store.dispatch(place).await.expect("an answer").expect("a dispatch");
    let token = scene.store.dispatch(place).await.expect("an answer").expect("a dispatch").token;
    let heard = scene.store.report(place, found.id, token, SessionState::Open, Duration::from_millis(4500)).await;
    heard.expect("it is heard");
}

async fn scan(scene: &Scene) -> Silence {
    scene.store.reap_beat(scene.keys().shard, TERM, 100, BELIEVED).await.expect("a scan")
}

/// Time goes by while the shard is scanned, so that no scan takes the pause for a break.
async fn pass_scanning(scene: &Scene, seconds: u64) {
    for _ in 0..seconds {
        scene.pass(Duration::from_secs(1));
        scene.store.reap_beat(scene.keys().shard, TERM, 0, BELIEVED).await.expect("a scan");
    }
}

#[tokio::test]
async fn where_most_agents_fall_silent_at_once_they_get_one_more_period() {
    let scene = Scene::open().await;
    scan(&scene).await;
    pass_scanning(&scene, 6).await;
    let places = reporting(&scene, 12).await;
    pass_scanning(&scene, 4).await;
    report(&scene, &places[0]).await;
    scene.pass(Duration::from_secs(1));
    assert_eq!(scan(&scene).await, Silence { silent: 0, braked: 11 });
    assert_eq!(scan(&scene).await, Silence { silent: 0, braked: 0 }, "told once");
    // One is heard again; the others stay silent for the period.
    report(&scene, &places[1]).await;
    for _ in 0..4 {
        scene.pass(Duration::from_secs(1));
        report(&scene, &places[0]).await;
        report(&scene, &places[1]).await;
        assert_eq!(scan(&scene).await.silent, 0);
    }
    scene.pass(Duration::from_secs(1));
    assert_eq!(scan(&scene).await, Silence { silent: 10, braked: 0 });
}

#[tokio::test]
async fn few_agents_or_few_of_many_are_not_spared() {
    let scene = Scene::open().await;
    scan(&scene).await;
    pass_scanning(&scene, 6).await;
    let places = reporting(&scene, 9).await;
    pass_scanning(&scene, 4).await;
    scene.pass(Duration::from_secs(1));
    assert_eq!(scan(&scene).await.silent, 9, "too few to tell a break by: {places:?}");
}

#[tokio::test]
async fn no_token_that_was_seen_is_given_again_by_an_older_copy_of_the_store() {
    let scene = Scene::open().await;
    let (_, lost) = scene.acquire().await;
    scene.run::<()>(&["FLUSHALL"]).await;
    // Another master took over, whose clock is behind.
    scene.set_time(BEGIN_MS - 60_000);
    assert_eq!(scene.store.token_seen(), lost.dispatch.token);
    let shard = scene.keys().shard;
    let floor = scene.store.raise_token_floor(shard, scene.store.token_seen()).await.expect("a floor");
    assert_eq!(floor, lost.dispatch.token);
    assert_eq!(scene.store.raise_token_floor(shard, 7).await.expect("a floor"), floor, "it only rises");
    let (verdict, again) = scene.acquire().await;
    assert_eq!(verdict, Verdict::Create);
    assert!(again.dispatch.token > lost.dispatch.token, "{} after {}", again.dispatch.token, lost.dispatch.token);
    scene.commit(&again, "AD_1").await.expect("a commit");
    let (_, ending) = scene.store.end(&scene.place, again.dispatch.id, "asked", CLAIM).await.expect("an end");
    assert!(ending.dispatch.token > again.dispatch.token);
}
