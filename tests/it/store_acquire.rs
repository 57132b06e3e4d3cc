//! `dispatch/acquire`, `commit`, `fail`, `renew`: asking for a dispatch and making it.

use std::time::Duration;

use greenroom::dispatch::{SessionState, State};
use greenroom::store::{AcquireRules, Commit, Judgement, Refusal, Verdict};

use crate::support::scene::{BEGIN_MS, CLAIM, HOLD, JOIN_DEADLINE, Look, Scene, TTL_SECONDS, refusal};

const SECOND: Duration = Duration::from_secs(1);

fn acquire_keys(scene: &Scene) -> Vec<String> {
    let keys = scene.keys();
    keys.all().into_iter().chain([keys.metadata()]).collect()
}

#[tokio::test]
async fn one_creates_and_the_others_wait_and_reuse() {
    let scene = Scene::open().await;
    let (one, two) = tokio::join!(scene.acquire(), scene.acquire());
    let ((first, record), (second, other)) = if one.0 == Verdict::Create { (one, two) } else { (two, one) };
    assert_eq!((first, second), (Verdict::Create, Verdict::Wait));
    assert_eq!(record.dispatch.id, other.dispatch.id);
    assert_eq!(record.dispatch.state, State::Creating);
    assert_eq!(record.claim_until_ms, Some(BEGIN_MS + 4000));
    assert_eq!(scene.score(&scene.keys().shard.due_provider()).await, Some(BEGIN_MS + 4000));
    scene.commit(&record, "AD_1").await.expect("a commit");
    let (verdict, reused) = scene.acquire().await;
    assert_eq!((verdict, reused.dispatch.id), (Verdict::Reused, record.dispatch.id));
    assert_eq!(reused.dispatch.state, State::Starting);
    assert_eq!(reused.dispatch.ttl_expires_at_ms, Some(BEGIN_MS + u64::from(TTL_SECONDS) * 1000));
    scene.check_keys().await;
}

#[tokio::test]
async fn a_call_that_is_sent_twice_gets_its_own_claim_again() {
    let scene = Scene::open().await;
    let id = scene.store.new_id(&scene.place).to_string();
    let ask = async |now: u64, id: &str| {
        let (now, keys) = (now.to_string(), acquire_keys(&scene));
        let args = [now.as_str(), id, "", "300", "reported", "simulated", "15000", "5000", "10000", "4000"];
        let answer: (String, u64, u64, Vec<String>) =
            scene.call("dispatch/acquire.lua", &keys, &args).await.expect("an answer");
        answer.0
    };
    assert_eq!(ask(BEGIN_MS, &id).await, "create");
    let token = scene.field("token").await;
    assert_eq!(ask(BEGIN_MS, &id).await, "create");
    assert_eq!(scene.field("token").await, token);
    let other = scene.store.new_id(&scene.place).to_string();
    assert_eq!(ask(BEGIN_MS, &other).await, "wait");
    // Once the claim has lapsed it may be taken by anybody, under a new token.
    assert_eq!(ask(BEGIN_MS + 4000, &other).await, "create");
    assert_ne!(scene.field("token").await, token);
    assert_eq!(scene.field("id").await, Some(id));
}

#[tokio::test]
async fn a_commit_may_be_sent_twice_even_after_the_next_claim() {
    let scene = Scene::open().await;
    let (_, record) = scene.acquire().await;
    scene.commit(&record, "AD_1").await.expect("a commit");
    let before = scene.dump().await;
    scene.commit(&record, "AD_1").await.expect("the same commit");
    assert_eq!(scene.dump().await, before);
    scene.pass(SECOND);
    scene.claim_check().await;
    scene.commit(&record, "AD_1").await.expect("the same commit, late");
    assert_eq!(refusal(scene.commit(&record, "AD_2").await), Refusal::NotOwner);
}

#[tokio::test]
async fn a_commit_of_an_overtaken_maker_is_refused() {
    let scene = Scene::open().await;
    let (_, first) = scene.acquire().await;
    scene.pass(CLAIM);
    let (verdict, second) = scene.acquire().await;
    assert_eq!(verdict, Verdict::Create);
    assert!(second.dispatch.token > first.dispatch.token);
    let before = scene.dump().await;
    assert_eq!(refusal(scene.commit(&first, "AD_1").await), Refusal::NotOwner);
    assert_eq!(refusal(scene.store.renew(&scene.place, first.dispatch.token, CLAIM).await), Refusal::NotOwner);
    assert_eq!(refusal(scene.fail(first.dispatch.token, false).await), Refusal::NotOwner);
    assert_eq!(scene.dump().await, before);
}

#[tokio::test]
async fn a_tombstoned_dispatch_is_not_committed_and_the_live_one_not_tombstoned() {
    let scene = Scene::open().await;
    let (_, record) = scene.acquire().await;
    assert!(scene.store.tombstone(&scene.place, "AD_1").await.expect("an answer"));
    assert!(scene.store.tombstone(&scene.place, "AD_1").await.expect("an answer"));
    assert_eq!(refusal(scene.commit(&record, "AD_1").await), Refusal::Tombstoned);
    scene.commit(&record, "AD_2").await.expect("a commit");
    assert!(!scene.store.tombstone(&scene.place, "AD_2").await.expect("an answer"));
    scene.check_keys().await;
}

/// Made for a wish that has ended, it came late: under the id of what was ended nobody is given anything.
#[tokio::test]
async fn what_was_made_for_an_ended_dispatch_is_not_adopted() {
    let scene = Scene::open().await;
    let ended = scene.make("AD_1").await;
    let (_, ending) = scene.store.end(&scene.place, ended.dispatch.id, "asked", CLAIM).await.expect("an end");
    scene.store.ended(&scene.place, ending.dispatch.token).await.expect("the end");
    let before = scene.dump().await;
    let found_again = AcquireRules { id: Some(ended.dispatch.id), ..scene.acquire_rules() };
    let again = scene.store.acquire(&scene.place, "", &found_again, None).await.expect("an answer");
    assert!(again.is_none(), "{again:?}");
    assert_eq!(scene.dump().await, before);
    let (_, fresh) = scene.acquire().await;
    let late = Commit {
        id: ended.dispatch.id,
        provider_id: "AD_2",
        agent_token: ended.dispatch.token,
        adopted: true,
        join_deadline: JOIN_DEADLINE,
        once: None,
    };
    let adopted = scene.store.commit(&scene.place, fresh.dispatch.token, &late).await;
    assert_eq!(refusal(adopted), Refusal::Tombstoned);
    scene.commit(&fresh, "AD_3").await.expect("a commit");
    scene.check_keys().await;
}

#[tokio::test]
async fn a_token_is_never_used_again_in_a_place() {
    let scene = Scene::open().await;
    let (_, first) = scene.acquire().await;
    let (_, ending) = scene.store.end(&scene.place, first.dispatch.id, "asked", CLAIM).await.expect("an end");
    scene.store.ended(&scene.place, ending.dispatch.token).await.expect("the end");
    // All of it within one millisecond, or the clock went back: the first maker is still overtaken.
    let (verdict, second) = scene.acquire().await;
    assert_eq!(verdict, Verdict::Create);
    assert!(second.dispatch.token > ending.dispatch.token, "{} {}", second.dispatch.token, ending.dispatch.token);
    assert_eq!(refusal(scene.commit(&first, "AD_1").await), Refusal::NotOwner);
}

#[tokio::test]
async fn a_failure_is_held_for_all_and_then_forgotten() {
    let scene = Scene::open().await;
    let (_, record) = scene.acquire().await;
    scene.fail(record.dispatch.token, false).await.expect("a failure");
    let before = scene.dump().await;
    scene.fail(record.dispatch.token, false).await.expect("the same failure");
    assert_eq!(scene.dump().await, before);
    assert_eq!(scene.acquire().await.0, Verdict::Failed);
    assert_eq!(scene.score(&scene.keys().shard.due_store()).await, Some(BEGIN_MS + 60_000));
    scene.pass(HOLD);
    let (verdict, again) = scene.acquire().await;
    assert_eq!(verdict, Verdict::Create);
    assert_ne!(again.dispatch.id, record.dispatch.id);
    assert_eq!(scene.score(&scene.keys().shard.due_store()).await, None);
    scene.check_keys().await;
}

#[tokio::test]
async fn what_may_have_been_made_is_looked_for_before_it_is_forgotten() {
    let scene = Scene::open().await;
    let (_, record) = scene.acquire().await;
    scene.fail(record.dispatch.token, true).await.expect("a failure");
    assert_eq!(scene.due().await.len(), 0);
    scene.pass(HOLD);
    let end = scene.claim_check().await;
    assert_eq!(scene.acquire().await.0, Verdict::Wait);
    scene.store.ended(&scene.place, end.dispatch.token).await.expect("the end");
    scene.check_nothing_left().await;
}

#[tokio::test]
async fn a_renewed_claim_lapses_later() {
    let scene = Scene::open().await;
    let (_, record) = scene.acquire().await;
    scene.pass(Duration::from_secs(3));
    scene.store.renew(&scene.place, record.dispatch.token, CLAIM).await.expect("a renewal");
    assert_eq!(scene.field_ms("claim_until").await, Some(BEGIN_MS + 7000));
    assert_eq!(scene.score(&scene.keys().shard.due_provider()).await, Some(BEGIN_MS + 7000));
    scene.pass(Duration::from_secs(3));
    assert_eq!(scene.acquire().await.0, Verdict::Wait);
    scene.pass(SECOND);
    assert_eq!(scene.acquire().await.0, Verdict::Create);
}

#[tokio::test]
async fn outside_the_window_one_verifies_and_the_others_wait() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    scene.look(&Look::agent_and(&["PA_1"])).await;
    scene.pass(Duration::from_secs(16));
    let (verdict, claimed) = scene.acquire().await;
    assert_eq!(verdict, Verdict::Verify);
    assert_eq!(scene.acquire().await.0, Verdict::Wait);
    let (judgement, _) = scene.observe(&claimed, &Look::agent_and(&["PA_1"]).wanted()).await.expect("a judgement");
    assert_eq!(judgement, Judgement::Well);
    assert_eq!(scene.acquire().await.0, Verdict::Reused);
}

#[tokio::test]
async fn who_verifies_an_idle_agent_gets_its_whole_time_to_live() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    scene.look(&Look { people: vec![], ..Look::agent_and(&[]) }).await;
    // A page asks in the last second of the time to live, and finds the agent well.
    scene.pass(Duration::from_secs(298));
    let (verdict, claimed) = scene.acquire().await;
    assert_eq!(verdict, Verdict::Verify);
    let (judgement, record) = scene.observe(&claimed, &Look::agent_and(&[]).wanted()).await.expect("a judgement");
    assert_eq!(judgement, Judgement::Well);
    assert_eq!(record.dispatch.ttl_expires_at_ms, Some(scene.now() + u64::from(TTL_SECONDS) * 1000));
}

#[tokio::test]
async fn who_takes_over_from_a_lost_maker_gets_the_whole_time_to_live() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    scene.pass(Duration::from_secs(297));
    let claimed = scene.claim_check().await;
    let (judgement, _) = scene.observe(&claimed, &Look::empty_room()).await.expect("a judgement");
    assert_eq!(judgement, Judgement::Redispatch);
    // Its maker is lost; when the claim lapses, somebody asks before the reaper comes.
    scene.pass(CLAIM);
    let (verdict, record) = scene.acquire().await;
    assert_eq!(verdict, Verdict::Create);
    let made = scene.commit(&record, "AD_2").await.expect("a commit");
    assert_eq!(made.dispatch.ttl_expires_at_ms, Some(scene.now() + u64::from(TTL_SECONDS) * 1000));
}

#[tokio::test]
async fn a_provider_that_fails_is_left_alone_for_a_while_even_after_the_time_to_live() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    scene.pass(Duration::from_secs(301));
    let mut tries = 0;
    for _ in 0..600 {
        for due in scene.due().await {
            tries += 1;
            scene.fail(due.record.dispatch.token, false).await.expect("a failure");
        }
        scene.pass(Duration::from_millis(100));
    }
    assert!((3..=6).contains(&tries), "{tries} tries in a minute");
}

#[tokio::test]
async fn an_agent_that_reports_closed_or_fell_silent_is_not_reused() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    let (id, token) = (made.dispatch.id, made.dispatch.token);
    scene.report(id, token, SessionState::Open).await.expect("a report");
    assert_eq!(scene.acquire().await.0, Verdict::Reused);
    scene.report(id, token, SessionState::Closed).await.expect("a report");
    let (verdict, record) = scene.acquire().await;
    assert_eq!((verdict, record.dispatch.reason.as_str()), (Verdict::Create, "agent_closed"));
    assert_ne!(record.dispatch.id, id);
    assert_eq!(refusal(scene.commit(&record, "AD_1").await), Refusal::Tombstoned);
}

#[tokio::test]
async fn the_short_answer_tells_the_same_as_the_whole_one() {
    let scene = Scene::open().await;
    let rules = AcquireRules { age_seconds_max: Some(600), ..scene.acquire_rules() };
    let (_, record) = scene.acquire_by(&rules).await;
    scene.commit(&record, "AD_1").await.expect("a commit");
    let told = async |what: &str| {
        let plain = scene.store.reuse(&scene.place, &rules).await.expect("an answer");
        let whole = scene.store.dispatch(&scene.place).await.expect("an answer").expect("a dispatch");
        assert_eq!(scene.acquire_by(&rules).await.0, Verdict::Reused, "{what}");
        plain.is_some_and(|plain| {
            assert_eq!(plain.dispatch, whole, "{what}");
            true
        })
    };
    assert!(told("its agent is on its way").await);
    scene.pass(Duration::from_secs(1));
    assert!(!told("somebody asks again, which moves its time to live").await);
    scene.look(&Look::agent_and(&["PA_1"])).await;
    assert!(told("a person is there").await, "this one has a short answer");
    scene.pass(Duration::from_secs(2));
    assert!(told("somebody asks again after a while").await);
    assert_eq!(scene.field_ms("last_activity_at").await, Some(scene.now()));
    scene.report(record.dispatch.id, record.dispatch.token, SessionState::Busy).await.expect("a report");
    assert!(told("its agent reports").await);
    scene.left("PA_1").await;
    assert!(!told("nobody is there, and somebody may come back").await);
}
