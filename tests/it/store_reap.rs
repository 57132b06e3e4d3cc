//! `reap/*`: what is due is claimed once, what fell silent is found, what is over is forgotten.

use std::time::Duration;

use greenroom::dispatch::{SessionState, State};
use greenroom::store::{DueKind, Judgement, Verdict};

use crate::support::scene::{CLAIM, HOLD, Look, Scene, TERM};

#[tokio::test]
async fn what_is_due_is_claimed_by_one_leader() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    assert!(scene.due().await.is_empty());
    scene.pass(Duration::from_secs(1));
    let (one, two) = tokio::join!(scene.due(), scene.due());
    assert_eq!((one.len(), two.len()), (1, 0));
    assert_eq!(one[0].kind, DueKind::Check);
    assert_eq!(scene.field_ms("claim_until").await, Some(scene.now() + 4000));
    scene.check_keys().await;
    // A claim that lapses is due again, a while late.
    scene.pass(CLAIM + Duration::from_millis(70));
    let due = scene.due().await;
    assert_eq!((due[0].kind, due[0].late_ms), (DueKind::Check, 70));
    assert!(due[0].record.dispatch.token > one[0].record.dispatch.token);
}

#[tokio::test]
async fn a_lost_maker_is_followed_by_another() {
    let scene = Scene::open().await;
    let (_, lost) = scene.acquire().await;
    scene.pass(CLAIM);
    let due = scene.due().await;
    assert_eq!((due.len(), due[0].kind), (1, DueKind::Create));
    assert_eq!(due[0].record.dispatch.id, lost.dispatch.id);
    scene.commit(&due[0].record, "AD_1").await.expect("a commit");
}

#[tokio::test]
async fn a_lost_redispatch_ends_when_nobody_waits_for_it() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    scene.pass(Duration::from_secs(299));
    let claimed = scene.claim_check().await;
    scene.observe(&claimed, &Look::empty_room()).await.expect("a judgement");
    scene.pass(CLAIM);
    // A look first: somebody may have come whom nobody told us of.
    let due = scene.due().await;
    assert_eq!((due[0].kind, due[0].record.dispatch.state), (DueKind::Check, State::Starting));
    let (judgement, record) = scene.observe(&due[0].record, &Look::empty_room()).await.expect("a judgement");
    assert_eq!((judgement, record.dispatch.state), (Judgement::End, State::Ending));
}

#[tokio::test]
async fn limits_hold_and_an_entry_without_a_dispatch_is_dropped() {
    let scene = Scene::open().await;
    let lane = scene.keys().shard.due_provider();
    for n in 0..5 {
        scene.run::<i64>(&["ZADD", &lane, "1", &format!("dispatch:default:gone-{n}:guide")]).await;
    }
    let store = &scene.store;
    assert!(store.reap_provider(scene.keys().shard, TERM, 2, CLAIM).await.expect("a scan").is_empty());
    assert_eq!(scene.run::<u64>(&["ZCARD", &lane]).await, 3);
    // One that is in the lane too early is put back where it belongs.
    scene.make("AD_1").await;
    let member = format!("dispatch:{}", scene.keys().name());
    let due = scene.score(&lane).await;
    scene.run::<i64>(&["ZADD", &lane, "1", &member]).await;
    assert!(scene.due().await.is_empty());
    assert_eq!(scene.score(&lane).await, due);
}

#[tokio::test]
async fn an_agent_that_fell_silent_is_found_but_not_after_a_break() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    scene.report(made.dispatch.id, made.dispatch.token, SessionState::Open).await.expect("a report");
    // Nobody has scanned before: the first scan gives everybody a period of grace.
    scene.pass(Duration::from_secs(6));
    assert_eq!(scene.scan_beats().await, 0);
    assert_eq!(scene.acquire().await.0, Verdict::Reused);
    for _ in 0..49 {
        scene.pass(Duration::from_millis(100));
        assert_eq!(scene.scan_beats().await, 0);
    }
    scene.pass(Duration::from_millis(100));
    assert_eq!(scene.scan_beats().await, 1);
    assert_eq!(scene.scan_beats().await, 0);
    assert_eq!(scene.field("silent").await.as_deref(), Some("1"));
    assert_eq!(scene.score(&scene.keys().shard.due_beat()).await, None);
    assert_eq!(scene.due().await.len(), 1, "it is looked after at once");
    // It was only slow: it speaks again, and counts again.
    scene.report(made.dispatch.id, made.dispatch.token, SessionState::Open).await.expect("a report");
    assert_eq!(scene.field("silent").await, None);
    assert_eq!(scene.field("reason").await.as_deref(), Some("agent_seen"), "and is not told as silent");
    scene.check_keys().await;
}

#[tokio::test]
async fn a_report_that_was_old_when_a_break_began_counts_until_the_grace_is_over() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    scene.scan_beats().await;
    scene.pass(Duration::from_secs(6));
    scene.scan_beats().await;
    scene.report(made.dispatch.id, made.dispatch.token, SessionState::Open).await.expect("a report");
    for _ in 0..20 {
        scene.pass(Duration::from_millis(100));
        scene.scan_beats().await;
    }
    // Redis is away, for less than a report is believed.
    scene.pass(Duration::from_millis(3500));
    assert_eq!(scene.acquire().await.0, Verdict::Reused, "it could not be heard");
    for _ in 0..49 {
        assert_eq!(scene.scan_beats().await, 0);
        scene.pass(Duration::from_millis(100));
    }
    scene.pass(Duration::from_millis(100));
    assert_eq!(scene.scan_beats().await, 1);
}

#[tokio::test]
async fn a_failed_creation_is_forgotten_after_a_minute() {
    let scene = Scene::open().await;
    let (_, record) = scene.acquire().await;
    scene.fail(record.dispatch.token, false).await.expect("a failure");
    let shard = scene.keys().shard;
    scene.pass(Duration::from_secs(59));
    assert_eq!(scene.store.reap_store(shard, TERM, 10).await.expect("a scan"), 0);
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.store.reap_store(shard, TERM, 10).await.expect("a scan"), 1);
    assert_eq!(scene.store.reap_store(shard, TERM, 10).await.expect("a scan"), 0);
    scene.check_nothing_left().await;
    scene.check_keys().await;
}

#[tokio::test]
async fn a_failed_end_is_tried_again_until_it_is_done() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    let (_, ending) = scene.store.end(&scene.place, made.dispatch.id, "asked", CLAIM).await.expect("an end");
    scene.fail(ending.dispatch.token, true).await.expect("a failure");
    assert_eq!(scene.acquire().await.0, Verdict::Failed);
    scene.pass(HOLD);
    let due = scene.due().await;
    assert_eq!(due[0].kind, DueKind::End);
    scene.store.ended(&scene.place, due[0].record.dispatch.token).await.expect("the end");
    scene.check_nothing_left().await;
}
