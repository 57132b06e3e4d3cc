//! `dispatch/report`, `dispatch/touch`, `dispatch/end`, `dispatch/ended`: agents and callers speak.

use std::time::Duration;

use greenroom::dispatch::{SessionState, State, TtlChange};
use greenroom::store::{Judgement, Refusal, Verdict};

use crate::support::scene::{BEGIN_MS, CLAIM, Look, Scene, refusal};

#[tokio::test]
async fn a_report_is_proof_of_life_and_has_a_deadline() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    let beat = scene.keys().shard.due_beat();
    for session in [SessionState::Open, SessionState::Busy] {
        let record = scene.report(made.dispatch.id, made.dispatch.token, session).await.expect("a report");
        assert_eq!(record.dispatch.seen_alive_at_ms, Some(BEGIN_MS));
        assert_eq!(record.dispatch.state, State::Idle);
        assert_eq!(scene.score(&beat).await, Some(BEGIN_MS + 4500));
    }
    scene.check_keys().await;
    // Closed is for ever, and has no deadline.
    for session in [SessionState::Closed, SessionState::Open] {
        let record = scene.report(made.dispatch.id, made.dispatch.token, session).await.expect("a report");
        assert_eq!(record.dispatch.reported.as_deref(), Some("closed"));
        assert_eq!(scene.score(&beat).await, None);
        assert_eq!(scene.score(&scene.keys().shard.due_provider()).await, Some(BEGIN_MS));
    }
}

#[tokio::test]
async fn a_report_of_another_agent_or_of_an_ended_dispatch_is_refused() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    let (id, token) = (made.dispatch.id, made.dispatch.token);
    let before = scene.dump().await;
    assert_eq!(refusal(scene.report(id, token + 1, SessionState::Open).await), Refusal::StaleToken);
    let other = scene.store.new_id(&scene.place);
    assert_eq!(refusal(scene.report(other, token, SessionState::Open).await), Refusal::Ended);
    assert_eq!(scene.dump().await, before);
    scene.store.end(&scene.place, id, "asked", CLAIM).await.expect("an end");
    assert_eq!(refusal(scene.report(id, token, SessionState::Open).await), Refusal::Ended);
}

#[tokio::test]
async fn an_agent_of_a_lost_maker_is_not_sent_away_while_another_adopts_it() {
    let scene = Scene::open().await;
    let (_, lost) = scene.acquire().await;
    let (id, token) = (lost.dispatch.id, lost.dispatch.token);
    // The provider made it, the maker died before its commit, the agent is up and reports.
    scene.report(id, token, SessionState::Open).await.expect("a report before the commit");
    scene.pass(CLAIM);
    let second = scene.claim_check().await;
    scene.report(id, token, SessionState::Open).await.expect("a report while another maker is at it");
    scene.fail(second.dispatch.token, true).await.expect("a failure");
    assert_eq!(refusal(scene.report(id, token, SessionState::Open).await), Refusal::StaleToken);
}

#[tokio::test]
async fn an_agent_that_was_replaced_hears_it_at_once() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    let (id, token) = (made.dispatch.id, made.dispatch.token);
    scene.look(&Look::agent_and(&["PA_1"])).await;
    scene.pass(Duration::from_secs(10));
    let claimed = scene.claim_check().await;
    let (judgement, _) = scene.observe(&claimed, &Look::only(&["PA_1"])).await.expect("a judgement");
    assert_eq!(judgement, Judgement::Redispatch);
    assert_eq!(refusal(scene.report(id, token, SessionState::Open).await), Refusal::StaleToken);
    let token = claimed.dispatch.token;
    scene.report(id, token, SessionState::Open).await.expect("its successor is heard");
}

#[tokio::test]
async fn interest_moves_the_time_to_live_and_arm_and_cancel_set_it() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    let (store, place, id) = (&scene.store, &scene.place, made.dispatch.id);
    scene.pass(Duration::from_secs(1));
    let touched = store.touch(place, id, None).await.expect("a touch");
    assert_eq!(touched.dispatch.ttl_expires_at_ms, Some(BEGIN_MS + 301_000));
    let armed = store.change_ttl(place, id, TtlChange::Arm(7), None).await.expect("a change");
    assert_eq!(armed.dispatch.ttl_expires_at_ms, Some(BEGIN_MS + 8000));
    let cancelled = store.change_ttl(place, id, TtlChange::Cancel, None).await.expect("a change");
    assert_eq!(cancelled.dispatch.ttl_expires_at_ms, None);
    assert!(scene.score(&scene.keys().shard.due_provider()).await.is_some(), "it is looked at all the same");
    let before = scene.dump().await;
    assert_eq!(refusal(store.touch(place, store.new_id(place), None).await), Refusal::NotFound);
    assert_eq!(scene.dump().await, before);
    store.end(place, id, "asked", CLAIM).await.expect("an end");
    assert_eq!(refusal(store.touch(place, id, None).await), Refusal::Ending);
    assert_eq!(refusal(store.change_ttl(place, id, TtlChange::Cancel, None).await), Refusal::Ending);
    scene.check_keys().await;
}

#[tokio::test]
async fn an_end_is_claimed_by_one_and_leaves_nothing_behind() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    scene.joined("PA_1").await;
    scene.joined("PA_2").await;
    scene.left("PA_2").await;
    let (store, place, id) = (&scene.store, &scene.place, made.dispatch.id);
    let (first, second) = tokio::join!(store.end(place, id, "asked", CLAIM), store.end(place, id, "asked", CLAIM));
    let ((mine, record), (theirs, _)) = (first.expect("an end"), second.expect("an end"));
    assert!(mine != theirs, "exactly one is to do it");
    assert_eq!(scene.acquire().await.0, Verdict::Wait);
    assert!(store.tombstone(place, "AD_1").await.expect("an answer"), "it is marked dead already");
    assert_eq!(refusal(store.ended(place, made.dispatch.token).await), Refusal::NotOwner);
    scene.check_keys().await;
    store.ended(place, record.dispatch.token).await.expect("the end");
    store.ended(place, record.dispatch.token).await.expect("the same end");
    scene.check_nothing_left().await;
    assert_eq!(refusal(store.place_of(id).await), Refusal::Ended);
    assert_eq!(refusal(store.end(place, id, "asked", CLAIM).await.map(|_| ())), Refusal::NotFound);
}

#[tokio::test]
async fn an_end_that_was_left_is_taken_up_by_the_reaper_or_by_who_asks() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    let (_, ending) = scene.store.end(&scene.place, made.dispatch.id, "asked", CLAIM).await.expect("an end");
    scene.pass(CLAIM);
    let reaped = scene.claim_check().await;
    assert_eq!(reaped.dispatch.state, State::Ending);
    assert_eq!(refusal(scene.store.ended(&scene.place, ending.dispatch.token).await), Refusal::NotOwner);
    scene.pass(CLAIM);
    let (verdict, record) = scene.acquire().await;
    assert_eq!(verdict, Verdict::Create);
    assert_eq!(refusal(scene.store.ended(&scene.place, reaped.dispatch.token).await), Refusal::NotOwner);
    assert_eq!(refusal(scene.commit(&record, "AD_1").await), Refusal::Tombstoned);
    scene.commit(&record, "AD_2").await.expect("a commit");
}
