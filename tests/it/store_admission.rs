//! Bounds, ages and habits of dispatches, and agents that drain: the scripts on a real Redis.

use std::time::Duration;

use greenroom::dispatch::{Bound, TtlChange};
use greenroom::name::Name;
use greenroom::store::{AcquireRules, Bounds, Judgement, Verdict};

use crate::support::scene::{BEGIN_MS, Look, Scene};

/// A time to live of 100 s that adapts between 20 s and 400 s.
fn adapting(scene: &Scene) -> AcquireRules {
    AcquireRules { ttl_seconds: 100, ttl_bounds: Some((20, 400)), return_policy: "always", ..scene.acquire_rules() }
}

/// The dispatch is made, and one person is in its room.
async fn with_ann(scene: &Scene, rules: &AcquireRules) {
    let (verdict, record) = scene.acquire_by(rules).await;
    assert_eq!(verdict, Verdict::Create);
    scene.commit(&record, &format!("AD_{}", record.dispatch.token)).await.expect("a commit");
    scene.joined(&format!("PA_{}", scene.now())).await;
}

/// Everybody leaves; returns how long the dispatch waits for them, in seconds.
async fn all_leave(scene: &Scene) -> u64 {
    let sids: Vec<String> = scene.run(&["HKEYS", &scene.keys().people()]).await;
    for sid in sids {
        scene.left(&sid).await;
    }
    (scene.field_ms("ttl_expires_at").await.expect("the time to live runs") - scene.now()) / 1000
}

/// Somebody comes back after so many seconds.
async fn back_after(scene: &Scene, seconds: u64) {
    scene.pass(Duration::from_secs(seconds));
    scene.joined(&format!("PA_{}", scene.now())).await;
}

/// The time to live is over, and the dispatch is forgotten.
async fn run_out(scene: &Scene, ttl_seconds: u64) {
    scene.pass(Duration::from_secs(ttl_seconds + 1));
    let claimed = scene.claim_check().await;
    let (judgement, ending) = scene.observe(&claimed, &Look::empty_room()).await.expect("a judgement");
    assert_eq!(judgement, Judgement::End);
    scene.store.ended(&scene.place, ending.dispatch.token).await.expect("an end");
}

#[tokio::test]
async fn a_time_to_live_that_adapts_grows_where_people_come_back_late() {
    let scene = Scene::open().await;
    with_ann(&scene, &adapting(&scene)).await;
    assert_eq!(all_leave(&scene).await, 100, "nothing is known yet");
    back_after(&scene, 90).await;
    // 90 s, and four times half of it.
    assert_eq!(all_leave(&scene).await, 270);
    for _ in 0..20 {
        back_after(&scene, 250).await;
        all_leave(&scene).await;
    }
    back_after(&scene, 250).await;
    assert!((250..400).contains(&all_leave(&scene).await), "they always come after 250 s");
    back_after(&scene, 1).await;
    back_after(&scene, 399).await;
    assert!(all_leave(&scene).await <= 400);
}

#[tokio::test]
async fn a_time_to_live_that_adapts_shrinks_where_nobody_comes_back_and_remembers_it() {
    let scene = Scene::open().await;
    let mut seen = Vec::new();
    for _ in 0..20 {
        with_ann(&scene, &adapting(&scene)).await;
        let ttl = all_leave(&scene).await;
        seen.push(ttl);
        run_out(&scene, ttl).await;
        // So late that it is no return.
        scene.pass(Duration::from_secs(1000));
    }
    assert_eq!(seen[0], 100);
    assert!(seen.windows(2).all(|two| two[1] <= two[0]), "{seen:?}");
    assert_eq!(seen.last(), Some(&20), "never below its bound: {seen:?}");
    let ttl: i64 = scene.run(&["TTL", &scene.keys().habit()]).await;
    assert!((1..=604_800).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn who_comes_just_after_the_end_makes_the_next_time_to_live_longer() {
    let scene = Scene::open().await;
    let rules = adapting(&scene);
    with_ann(&scene, &rules).await;
    let first = all_leave(&scene).await;
    run_out(&scene, first).await;
    scene.pass(Duration::from_mins(1));
    with_ann(&scene, &rules).await;
    let second = all_leave(&scene).await;
    assert!(second > first, "away for 161 s, and the time to live was {first} s, then {second} s");
}

#[tokio::test]
async fn a_time_to_live_that_was_asked_for_does_not_adapt() {
    let scene = Scene::open().await;
    with_ann(&scene, &adapting(&scene)).await;
    let id = scene.store.dispatch(&scene.place).await.expect("an answer").expect("a dispatch").id;
    scene.store.change_ttl(&scene.place, id, TtlChange::Arm(50), None).await.expect("a change");
    for _ in 0..3 {
        assert_eq!(all_leave(&scene).await, 50);
        back_after(&scene, 45).await;
    }
}

#[tokio::test]
async fn a_dispatch_that_is_too_old_ends_whoever_is_there() {
    let scene = Scene::open().await;
    let rules = AcquireRules { age_seconds_max: Some(60), ..scene.acquire_rules() };
    with_ann(&scene, &rules).await;
    let made = scene.store.dispatch(&scene.place).await.expect("an answer").expect("a dispatch");
    assert_eq!(made.ends_at_ms, Some(BEGIN_MS + 60_000));
    scene.look(&Look::agent_and(&["PA_1"])).await;
    scene.pass(Duration::from_secs(58));
    assert!(scene.due().await.iter().all(|due| due.record.dispatch.reason != "too_old"));
    scene.pass(Duration::from_secs(5));
    let due = scene.due().await;
    assert_eq!((due.len(), due[0].record.dispatch.reason.as_str()), (1, "too_old"));
    scene.store.ended(&scene.place, due[0].record.dispatch.token).await.expect("an end");
    assert!(scene.store.dispatch(&scene.place).await.expect("an answer").is_none());
}

#[tokio::test]
async fn who_asks_for_one_that_is_too_old_gets_a_new_one() {
    let scene = Scene::open().await;
    let rules = AcquireRules { age_seconds_max: Some(10), ..scene.acquire_rules() };
    with_ann(&scene, &rules).await;
    let old = scene.acquire_by(&rules).await;
    assert_eq!(old.0, Verdict::Reused);
    scene.pass(Duration::from_secs(10));
    let (verdict, new) = scene.acquire_by(&rules).await;
    assert_eq!((verdict, new.dispatch.reason.as_str()), (Verdict::Create, "too_old"));
    assert_ne!(new.dispatch.id, old.1.dispatch.id);
    assert_eq!(new.dispatch.ends_at_ms, Some(BEGIN_MS + 20_000));
}

#[tokio::test]
async fn where_none_may_be_made_the_live_one_is_handed_out_all_the_same() {
    let scene = Scene::open().await;
    let may_not = AcquireRules { may_create: false, ..scene.acquire_rules() };
    let before = scene.dump().await;
    assert!(scene.store.acquire(&scene.place, "", &may_not, None).await.expect("an answer").is_none());
    assert_eq!(scene.dump().await, before, "it left something");
    let record = scene.make("AD_1").await;
    let (verdict, found) =
        scene.store.acquire(&scene.place, "", &may_not, None).await.expect("an answer").expect("the live one");
    assert_eq!((verdict, found.dispatch.id), (Verdict::Reused, record.dispatch.id));
}

#[tokio::test]
async fn bounds_hold_and_what_was_given_back_can_be_taken_again() {
    let scene = Scene::open().await;
    let bounds = Bounds { per_tenant: Some(3), per_agent: Some(2) };
    let [one, two, three, four] = ["one", "two", "three", "four"].map(|room| {
        let place = scene.place_of("guide");
        greenroom::dispatch::Place { room: Name::room(room).expect("a name"), ..place }
    });
    let other = greenroom::dispatch::Place { agent: Name::strict("other").expect("a name"), ..one.clone() };
    let take = async |place| scene.store.take_quota(place, bounds).await.expect("an answer").map(|(bound, _)| bound);
    assert_eq!(take(&one).await, None);
    assert_eq!(take(&one).await, None, "it counts once");
    assert_eq!(take(&two).await, None);
    assert_eq!(take(&three).await, Some(Bound::Agent));
    assert_eq!(take(&other).await, None);
    assert_eq!(take(&four).await, Some(Bound::Tenant));
    let taken = scene.store.taken_quota(&one.tenant, 10).await.expect("a list");
    assert_eq!(taken.len(), 3);
    assert!(!scene.store.give_quota(&one, BEGIN_MS - 1).await.expect("an answer"), "it was taken later");
    assert!(scene.store.give_quota(&one, BEGIN_MS).await.expect("an answer"));
    assert_eq!(take(&three).await, None);
    assert_eq!(take(&one).await, Some(Bound::Tenant));
}

#[tokio::test]
async fn an_agent_drains_until_that_is_taken_back() {
    let scene = Scene::open().await;
    let (tenant, agent) = (&scene.place.tenant, &scene.place.agent);
    let drain = async |drains| scene.store.drain_agent(tenant, agent, drains, None).await.expect("an answer");
    assert_eq!(drain(false).await, None);
    assert_eq!(drain(true).await, Some(BEGIN_MS));
    scene.pass(Duration::from_secs(1));
    assert_eq!(drain(true).await, Some(BEGIN_MS), "said again, it changes nothing");
    assert_eq!(scene.store.draining(tenant).await.expect("a list").get("guide"), Some(&BEGIN_MS));
    assert_eq!(drain(false).await, None);
    assert!(scene.store.draining(tenant).await.expect("a list").is_empty());
}
