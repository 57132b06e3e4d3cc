//! `dispatch/observe`: what follows from a look at the provider.

use std::time::Duration;

use greenroom::dispatch::{NoticeKind, SessionState, State};
use greenroom::store::{Judgement, Refusal, Verdict};

use crate::support::scene::{CLAIM, JOIN_DEADLINE, Look, Scene, TTL_SECONDS, refusal};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn an_agent_that_is_seen_makes_it_active_or_idle() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    let (judgement, record) = scene.look(&Look::agent_and(&["PA_1"])).await;
    assert_eq!((judgement, record.dispatch.state), (Judgement::Well, State::Active));
    assert_eq!((record.dispatch.participant_count, record.dispatch.ttl_expires_at_ms), (1, None));
    assert_eq!(record.claim_until_ms, None);
    scene.check_keys().await;
    scene.pass(Duration::from_secs(10));
    let claimed = scene.claim_check().await;
    let (judgement, record) = scene.observe(&claimed, &Look::agent_and(&[])).await.expect("a judgement");
    assert_eq!((judgement, record.dispatch.state), (Judgement::Well, State::Idle));
    assert_eq!(record.dispatch.ttl_expires_at_ms, Some(scene.now() + u64::from(TTL_SECONDS) * 1000));
    assert_eq!(scene.field_ms("emptied_at").await, Some(scene.now()));
    scene.check_keys().await;
}

#[tokio::test]
async fn only_who_holds_the_claim_is_heard() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    assert_eq!(refusal(scene.observe(&made, &Look::default()).await), Refusal::NotOwner);
    scene.pass(SECOND);
    let claimed = scene.claim_check().await;
    scene.pass(CLAIM);
    let second = scene.claim_check().await;
    let before = scene.dump().await;
    assert_eq!(refusal(scene.observe(&claimed, &Look::default()).await), Refusal::NotOwner);
    assert_eq!(scene.dump().await, before);
    let (judgement, _) = scene.observe(&second, &Look::empty_room()).await.expect("a judgement");
    assert_eq!(judgement, Judgement::Well);
    assert_eq!(refusal(scene.observe(&second, &Look::empty_room()).await), Refusal::NotOwner);
}

#[tokio::test]
async fn a_judgement_that_is_asked_for_twice_is_the_same() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    scene.look(&Look::agent_and(&["PA_1"])).await;
    scene.pass(Duration::from_secs(10));
    let claimed = scene.claim_check().await;
    let (judgement, _) = scene.observe(&claimed, &Look::only(&["PA_1"])).await.expect("a judgement");
    assert_eq!(judgement, Judgement::Redispatch);
    let before = scene.dump().await;
    let (judgement, _) = scene.observe(&claimed, &Look::only(&["PA_1"])).await.expect("a judgement");
    assert_eq!(judgement, Judgement::Redispatch);
    assert_eq!(scene.dump().await, before);
    assert_eq!(scene.acquire().await.0, Verdict::Wait);
}

#[tokio::test]
async fn an_agent_that_never_comes_is_dispatched_again_until_it_is_degraded() {
    let scene = Scene::open().await;
    scene.make("AD_0").await;
    scene.joined("PA_1").await;
    let mut at = Vec::new();
    let mut states = Vec::new();
    for step in 1..2500_u32 {
        scene.pass(Duration::from_millis(100));
        for due in scene.due().await {
            let (judgement, record) = scene.observe(&due.record, &Look::only(&["PA_1"])).await.expect("a judgement");
            if judgement == Judgement::Redispatch {
                at.push(step);
                states.push(scene.commit(&record, &format!("AD_{step}")).await.expect("a commit").dispatch.state);
            }
        }
    }
    let pauses: Vec<u32> = at.windows(2).map(|pair| (pair[1] - pair[0]) / 10).collect();
    // Five quick tries as fast as the deadline allows, then one every half a minute.
    assert_eq!(&states[4..6], [State::Starting, State::Degraded]);
    assert!(pauses[..4].iter().all(|&pause| (10..=20).contains(&pause)), "{pauses:?}");
    assert!(pauses[5..].iter().all(|&pause| (30..=42).contains(&pause)), "{pauses:?}");
    // The agent comes at last: all is well again.
    scene.pass(Duration::from_secs(40));
    let claimed = scene.claim_check().await;
    let (_, record) = scene.observe(&claimed, &Look::agent_and(&["PA_1"])).await.expect("a judgement");
    assert_eq!(record.dispatch.state, State::Active);
}

#[tokio::test]
async fn a_job_that_is_listed_gets_the_longer_deadline() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    scene.joined("PA_1").await;
    scene.pass(JOIN_DEADLINE);
    let look = Look { job: true, ..Look::only(&["PA_1"]) };
    let claimed = scene.claim_check().await;
    assert_eq!(scene.observe(&claimed, &look).await.expect("a judgement").0, Judgement::Well);
    scene.pass(Duration::from_secs(49));
    let claimed = scene.claim_check().await;
    assert_eq!(scene.observe(&claimed, &look).await.expect("a judgement").0, Judgement::Well);
    scene.pass(SECOND);
    let claimed = scene.claim_check().await;
    assert_eq!(scene.observe(&claimed, &look).await.expect("a judgement").0, Judgement::Redispatch);
}

#[tokio::test]
async fn the_time_to_live_ends_it_only_when_nobody_is_there() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    scene.look(&Look::agent_and(&[])).await;
    scene.pass(Duration::from_secs(299));
    let claimed = scene.claim_check().await;
    let (judgement, record) = scene.observe(&claimed, &Look::agent_and(&["PA_1"])).await.expect("a judgement");
    assert_eq!((judgement, record.dispatch.ttl_expires_at_ms), (Judgement::Well, None));
    scene.pass(Duration::from_secs(10));
    let claimed = scene.claim_check().await;
    scene.observe(&claimed, &Look::agent_and(&[])).await.expect("a judgement");
    scene.pass(Duration::from_mins(5));
    let claimed = scene.claim_check().await;
    let (judgement, record) = scene.observe(&claimed, &Look::agent_and(&[])).await.expect("a judgement");
    assert_eq!(
        (judgement, record.dispatch.state, record.dispatch.reason.as_str()),
        (Judgement::End, State::Ending, "ttl")
    );
    assert!(!scene.store.tombstone(&scene.place, "AD_9").await.is_ok_and(|dead| !dead));
    assert_eq!(scene.run::<u8>(&["EXISTS", &scene.keys().tombstone("AD_1")]).await, 1);
    scene.check_keys().await;
    scene.store.ended(&scene.place, record.dispatch.token).await.expect("the end");
    scene.check_nothing_left().await;
}

/// Redis hung, and carries the call out long after its caller gave up: whoever came meanwhile was not seen.
#[tokio::test]
async fn a_look_that_is_told_late_ends_nothing() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    scene.pass(Duration::from_secs(1));
    let claimed = scene.claim_check().await;
    scene.pass(Duration::from_millis(5_001));
    assert_eq!(refusal(scene.observe(&claimed, &Look::default()).await), Refusal::NotOwner);
    let claimed = scene.claim_check().await;
    assert!(scene.observe(&claimed, &Look::agent_and(&["PA_1"])).await.is_ok());
}

#[tokio::test]
async fn a_closed_room_ends_it() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    let (judgement, record) = scene.look(&Look::default()).await;
    assert_eq!((judgement, record.dispatch.reason.as_str()), (Judgement::End, "room_closed"));
}

#[tokio::test]
async fn who_comes_during_a_look_keeps_it_alive_whatever_the_look_shows() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    scene.look(&Look::agent_and(&[])).await;
    scene.pass(Duration::from_mins(5));
    let claimed = scene.claim_check().await;
    scene.pass(Duration::from_millis(10));
    scene.joined("PA_1").await;
    let (judgement, record) = scene.observe(&claimed, &Look::default()).await.expect("a judgement");
    assert_eq!(judgement, Judgement::Redispatch);
    assert_eq!(record.dispatch.ttl_expires_at_ms, None);
}

#[tokio::test]
async fn who_asks_while_the_agent_is_gone_gets_another_under_a_new_id() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    scene.look(&Look::agent_and(&[])).await;
    scene.pass(Duration::from_secs(20));
    let (verdict, claimed) = scene.acquire().await;
    assert_eq!(verdict, Verdict::Verify);
    let (judgement, record) = scene.observe(&claimed, &Look::default().wanted()).await.expect("a judgement");
    assert_eq!(judgement, Judgement::Redispatch);
    assert_ne!(record.dispatch.id, made.dispatch.id);
    assert_eq!(refusal(scene.store.place_of(made.dispatch.id).await), Refusal::Ended);
    scene.check_keys().await;
}

#[tokio::test]
async fn what_asks_for_a_look_during_a_look_is_not_forgotten() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    scene.look(&Look::agent_and(&["PA_1"])).await;
    scene.pass(Duration::from_secs(10));
    let claimed = scene.claim_check().await;
    // The look shows the agent; before its judgement a webhook says that the agent left.
    scene.pass(Duration::from_millis(50));
    scene.notice(NoticeKind::AgentChanged, Duration::ZERO).await;
    scene.observe(&claimed, &Look::agent_and(&["PA_1"])).await.expect("a judgement");
    assert_eq!(scene.due().await.len(), 1, "the next look is due at once");
}

#[tokio::test]
async fn all_agents_of_a_room_learn_that_it_emptied() {
    // Without webhooks: the look of one empties the set of people, which is the room's.
    let mut scene = Scene::open().await;
    let (guide, scribe) = (scene.place.clone(), scene.place_of("scribe"));
    for place in [&guide, &scribe] {
        scene.place = place.clone();
        scene.make(&format!("AD_{}", place.agent)).await;
    }
    for look in [Look::agent_and(&["PA_1"]), Look::agent_and(&[])] {
        scene.pass(Duration::from_secs(10));
        for due in scene.due().await {
            scene.observe(&due.record, &look).await.expect("a judgement");
        }
    }
    for place in [guide, scribe] {
        scene.place = place;
        assert_eq!(scene.field("state").await.as_deref(), Some("idle"));
        assert!(scene.field("ttl_expires_at").await.is_some(), "{} would live for ever", scene.place.agent);
        assert!(scene.field("emptied_at").await.is_some(), "{} may be deaf", scene.place.agent);
    }
}

#[tokio::test]
async fn who_comes_back_often_does_not_degrade_it() {
    let scene = Scene::open().await;
    scene.make("AD_0").await;
    scene.look(&Look::agent_and(&["PA_0"])).await;
    for n in 1..10 {
        // A refresh: gone and back; the agent does not report, so a fresh one is due each time.
        scene.pass(Duration::from_millis(500));
        scene.left(&format!("PA_{}", n - 1)).await;
        scene.joined(&format!("PA_{n}")).await;
        let sid = format!("PA_{n}");
        let claimed = scene.claim_check().await;
        let (judgement, record) = scene.observe(&claimed, &Look::agent_and(&[&sid])).await.expect("a judgement");
        assert_eq!(judgement, Judgement::Redispatch, "return {n}");
        let made = scene.commit(&record, &format!("AD_{n}")).await.expect("a commit");
        assert_eq!((made.dispatch.state, made.dispatch.tries), (State::Starting, 0));
        scene.look(&Look::agent_and(&[&sid])).await;
    }
}

#[tokio::test]
async fn a_report_beats_what_the_provider_shows() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    scene.look(&Look::agent_and(&["PA_1"])).await;
    scene.report(made.dispatch.id, made.dispatch.token, SessionState::Closed).await.expect("a report");
    let claimed = scene.claim_check().await;
    let (judgement, record) = scene.observe(&claimed, &Look::agent_and(&["PA_1"])).await.expect("a judgement");
    assert_eq!((judgement, record.dispatch.reason.as_str()), (Judgement::Redispatch, "agent_closed"));
}

#[tokio::test]
async fn a_crowd_is_followed_as_far_as_the_limit_without_forgetting_anybody() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    let sids: Vec<String> = (0..1500).map(|n| format!("PA_{n}")).collect();
    let mut sids: Vec<&str> = sids.iter().map(String::as_str).collect();
    scene.look(&Look::agent_and(&sids)).await;
    let before: Vec<String> = scene.run(&["HKEYS", &scene.keys().people()]).await;
    assert_eq!(before.len(), 1000);
    // The same people in another order: nobody has left.
    sids.reverse();
    scene.pass(Duration::from_secs(10));
    let claimed = scene.claim_check().await;
    scene.observe(&claimed, &Look::agent_and(&sids)).await.expect("a judgement");
    assert_eq!(scene.run::<u64>(&["ZCARD", &scene.keys().left()]).await, 0);
    assert_eq!(scene.run::<u64>(&["HLEN", &scene.keys().people()]).await, 1000);
}

#[tokio::test]
async fn a_person_who_left_during_the_look_is_no_ghost_and_one_who_came_is_kept() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    scene.look(&Look::agent_and(&["PA_1"])).await;
    scene.pass(Duration::from_secs(10));
    let claimed = scene.claim_check().await;
    scene.pass(Duration::from_millis(10));
    scene.left("PA_1").await;
    scene.joined("PA_2").await;
    scene.observe(&claimed, &Look::agent_and(&["PA_1"])).await.expect("a judgement");
    assert_eq!(scene.run::<Vec<String>>(&["HKEYS", &scene.keys().people()]).await, ["PA_2"]);
}

#[tokio::test]
async fn a_person_whom_one_look_missed_is_counted_again_by_the_next() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    scene.look(&Look::agent_and(&["PA_1"])).await;
    scene.pass(Duration::from_secs(10));
    let claimed = scene.claim_check().await;
    let (_, missed) = scene.observe(&claimed, &Look::agent_and(&[])).await.expect("a judgement");
    assert_eq!(missed.dispatch.participant_count, 0);
    // A list that lags behind a leaving shows who has left, so not at once; but well before the time to live ends.
    scene.pass(Duration::from_secs(20));
    let claimed = scene.claim_check().await;
    let (_, again) = scene.observe(&claimed, &Look::agent_and(&["PA_1"])).await.expect("a judgement");
    assert_eq!((again.dispatch.participant_count, again.dispatch.ttl_expires_at_ms), (1, None));
}

#[tokio::test]
async fn an_agent_that_is_known_to_be_gone_is_handed_to_nobody_before_the_next_try() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    // It crashes again and again, until the next try has to wait.
    for n in 2..8 {
        scene.look(&Look::agent_and(&["PA_1"])).await;
        scene.notice(NoticeKind::AgentChanged, Duration::ZERO).await;
        let claimed = scene.claim_check().await;
        let (judgement, record) = scene.observe(&claimed, &Look::only(&["PA_1"])).await.expect("a judgement");
        if judgement == Judgement::Well {
            assert_eq!(record.dispatch.seen_alive_at_ms, None);
            assert_eq!(scene.acquire().await.0, Verdict::Verify);
            return;
        }
        scene.commit(&record, &format!("AD_{n}")).await.expect("a commit");
    }
    panic!("no try had to wait");
}
