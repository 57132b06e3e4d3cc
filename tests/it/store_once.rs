//! Requests under an `Idempotency-Key`: done once, answered alike, whatever happened in between.

use std::time::Duration;

use greenroom::dispatch::TtlChange;
use greenroom::idempotency::Once;
use greenroom::store::{Commit, Record, Refusal, StoreError, Verdict};

use crate::support::scene::{CLAIM, JOIN_DEADLINE, Scene, refusal};

fn request(key: &str, body: &str) -> Once {
    Once::new("ann", "dispatches", "lobby", key, body.as_bytes())
}

/// The same request, sent again.
fn again(once: &Once) -> Once {
    Once { attempt: format!("{}-again", once.attempt), ..once.clone() }
}

async fn ask(scene: &Scene, once: &Once) -> Result<(Verdict, Record), StoreError> {
    let asked = scene.store.acquire(&scene.place, "", &scene.acquire_rules(), Some(once)).await;
    asked.map(|answer| answer.expect("it may be made"))
}

async fn commit(scene: &Scene, record: &Record, once: &Once) -> Record {
    let commit = Commit {
        id: record.dispatch.id,
        provider_id: "AD_1",
        agent_token: record.dispatch.token,
        adopted: false,
        join_deadline: JOIN_DEADLINE,
        once: Some(once),
    };
    scene.store.commit(&scene.place, record.dispatch.token, &commit).await.expect("a commit")
}

#[tokio::test]
async fn a_creation_is_told_as_one_to_every_repetition() {
    let scene = Scene::open().await;
    let once = request("k", "a");
    let (verdict, record) = ask(&scene, &once).await.expect("an answer");
    assert_eq!(verdict, Verdict::Create);
    assert_eq!(refusal(ask(&scene, &again(&once)).await), Refusal::UnderWay);
    let made = commit(&scene, &record, &once).await;
    for _ in 0..3 {
        scene.pass(Duration::from_secs(5));
        let (verdict, told) = ask(&scene, &again(&once)).await.expect("an answer");
        assert_eq!((verdict, told.dispatch), (Verdict::Created, made.dispatch.clone()));
    }
    // Also when it is long over: a repetition makes no second agent.
    let (_, ending) = scene.store.end(&scene.place, made.dispatch.id, "asked", CLAIM).await.expect("an end");
    scene.store.ended(&scene.place, ending.dispatch.token).await.expect("an end");
    assert_eq!(ask(&scene, &again(&once)).await.expect("an answer").0, Verdict::Created);
    assert!(scene.store.dispatch(&scene.place).await.expect("an answer").is_none());
    // Another key is another request.
    assert_eq!(ask(&scene, &request("other", "a")).await.expect("an answer").0, Verdict::Create);
}

#[tokio::test]
async fn a_key_is_good_for_one_request() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    let once = request("k", "a");
    assert_eq!(ask(&scene, &once).await.expect("an answer").0, Verdict::Reused);
    let before = scene.dump().await;
    assert_eq!(refusal(ask(&scene, &request("k", "b")).await), Refusal::KeyReused);
    assert_eq!(scene.dump().await, before);
    assert_eq!(ask(&scene, &again(&once)).await.expect("an answer").0, Verdict::Reused);
}

#[tokio::test]
async fn a_request_that_failed_or_whose_maker_was_lost_may_be_sent_again() {
    let scene = Scene::open().await;
    let once = request("k", "a");
    let (_, record) = ask(&scene, &once).await.expect("an answer");
    // Its replica is killed: nothing is renewed, and nobody answers.
    scene.pass(CLAIM);
    let second = again(&once);
    let (verdict, taken) = ask(&scene, &second).await.expect("an answer");
    assert_eq!((verdict, taken.dispatch.id), (Verdict::Create, record.dispatch.id));
    scene.fail(taken.dispatch.token, false).await.expect("a failure");
    scene.pass(Duration::from_secs(3));
    let third = again(&second);
    let (verdict, taken) = ask(&scene, &third).await.expect("an answer");
    assert_eq!(verdict, Verdict::Create);
    commit(&scene, &taken, &third).await;
    assert_eq!(ask(&scene, &again(&third)).await.expect("an answer").0, Verdict::Created);
}

#[tokio::test]
async fn one_that_waits_for_another_is_under_way_while_it_asks() {
    let scene = Scene::open().await;
    let (_, record) = scene.acquire().await;
    let once = request("k", "a");
    assert_eq!(ask(&scene, &once).await.expect("an answer").0, Verdict::Wait);
    assert_eq!(refusal(ask(&scene, &again(&once)).await), Refusal::UnderWay);
    assert_eq!(ask(&scene, &once).await.expect("its own question").0, Verdict::Wait);
    scene.pass(Duration::from_secs(3));
    // It no longer asks: its caller or its replica has gone.
    assert_eq!(ask(&scene, &again(&once)).await.expect("an answer").0, Verdict::Wait);
    scene.commit(&record, "AD_1").await.expect("a commit");
    assert_eq!(ask(&scene, &again(&again(&once))).await.map(|answer| answer.0).ok(), None, "the second still asks");
    assert_eq!(ask(&scene, &again(&once)).await.expect("an answer").0, Verdict::Reused);
}

#[tokio::test]
async fn a_change_is_made_once_and_told_after_the_end_of_its_dispatch() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    let (id, once) = (made.dispatch.id, request("k", "ttl"));
    let arm = async || scene.store.change_ttl(&scene.place, id, TtlChange::Arm(60), Some(&again(&once))).await;
    let first = arm().await.expect("a change").dispatch;
    scene.pass(Duration::from_secs(30));
    assert_eq!(arm().await.expect("the same answer").dispatch, first);
    let now = scene.store.dispatch(&scene.place).await.expect("an answer").expect("a dispatch");
    assert_eq!(now.ttl_expires_at_ms, first.ttl_expires_at_ms, "it was armed once");
    let (_, ending) = scene.store.end(&scene.place, id, "asked", CLAIM).await.expect("an end");
    scene.store.ended(&scene.place, ending.dispatch.token).await.expect("an end");
    let told = scene.store.touched_before(id, &once).await.expect("an answer").expect("the first answer");
    assert_eq!(told.dispatch, first);
    let key = scene.keys().shard.once(&once.record);
    let ttl: i64 = scene.run(&["TTL", &key]).await;
    assert!((86_000..=86_400).contains(&ttl), "{ttl} s");
}
