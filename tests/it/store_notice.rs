//! `room/notice`: webhooks that are late, doubled, reversed or lost change nothing in the end.

use std::time::Duration;

use greenroom::dispatch::{NoticeKind, SessionState};
use greenroom::store::{Judgement, Verdict};

use crate::support::scene::{BEGIN_MS, Look, Scene, person};

async fn people(scene: &Scene) -> Vec<String> {
    let mut sids: Vec<String> = scene.run(&["HKEYS", &scene.keys().people()]).await;
    sids.sort();
    sids
}

async fn with_person(policy: &'static str) -> Scene {
    let mut scene = Scene::open().await;
    scene.policy = policy;
    scene.make("AD_1").await;
    scene.look(&Look::agent_and(&["PA_1"])).await;
    scene.pass(Duration::from_secs(2));
    scene
}

#[tokio::test]
async fn a_room_without_dispatches_leaves_no_trace() {
    let scene = Scene::open().await;
    let before = scene.dump().await;
    assert_eq!((scene.joined("PA_1").await, scene.left("PA_1").await), (0, 0));
    assert_eq!(scene.notice(NoticeKind::RoomFinished, Duration::ZERO).await, 0);
    assert_eq!(scene.dump().await, before);
}

#[tokio::test]
async fn the_first_person_cancels_the_time_to_live_and_the_last_one_arms_it() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    assert_eq!((scene.joined("PA_1").await, scene.joined("PA_2").await), (1, 1));
    assert_eq!(scene.field("ttl_expires_at").await, None);
    scene.left("PA_1").await;
    assert_eq!(scene.field("ttl_expires_at").await, None);
    scene.pass(Duration::from_secs(1));
    scene.left("PA_2").await;
    assert_eq!(scene.field_ms("ttl_expires_at").await, Some(BEGIN_MS + 301_000));
    // Three times the same changes nothing, save that it is late.
    let before = scene.dump().await;
    scene.pass(Duration::from_secs(1));
    scene.left("PA_2").await;
    scene.left("PA_1").await;
    scene.joined("PA_1").await;
    scene.joined("PA_2").await;
    assert_eq!(scene.dump().await, before);
    scene.check_keys().await;
}

#[tokio::test]
async fn a_late_coming_makes_no_ghost() {
    let scene = with_person("reported").await;
    scene.left("PA_2").await;
    scene.joined("PA_2").await;
    assert_eq!(people(&scene).await, ["PA_1"]);
    // So late that its leaving is forgotten: a look tells.
    let hour = Duration::from_hours(1);
    scene.notice(NoticeKind::PersonJoined(person("PA_3", BEGIN_MS / 1000 - 3600)), hour).await;
    assert_eq!(people(&scene).await, ["PA_1"]);
    assert_eq!(scene.due().await.len(), 1);
}

#[tokio::test]
async fn who_returns_gets_what_the_policy_says() {
    for (policy, reports, again) in [
        ("reported", false, Verdict::Create),
        ("reported", true, Verdict::Reused),
        ("always", false, Verdict::Reused),
        ("never", true, Verdict::Create),
    ] {
        let scene = with_person(policy).await;
        let (id, token) = (scene.acquire().await.1.dispatch.id, scene.field_ms("agent_token").await);
        scene.left("PA_1").await;
        if reports {
            scene.report(id, token.expect("a token"), SessionState::Open).await.expect("a report");
        }
        scene.pass(Duration::from_secs(1));
        assert_eq!(scene.acquire().await.0, again, "{policy}, reports: {reports}");
    }
}

#[tokio::test]
async fn a_leaving_that_comes_after_the_return_counts_all_the_same() {
    for (policy, judged) in [("reported", Judgement::Redispatch), ("always", Judgement::Well)] {
        let scene = with_person(policy).await;
        scene.joined("PA_2").await;
        scene.left("PA_1").await;
        let claimed = scene.claim_check().await;
        let (judgement, _) = scene.observe(&claimed, &Look::agent_and(&["PA_2"])).await.expect("a judgement");
        assert_eq!(judgement, judged, "{policy}");
        assert_eq!(scene.field("emptied_at").await, None);
    }
}

#[tokio::test]
async fn a_caller_that_never_left_is_not_concerned() {
    let scene = with_person("never").await;
    scene.joined("PA_2").await;
    scene.pass(Duration::from_secs(5));
    scene.left("PA_2").await;
    assert_eq!(scene.field("emptied_at").await, None);
    assert_eq!(scene.acquire().await.0, Verdict::Reused);
}

#[tokio::test]
async fn who_was_there_before_the_dispatch_and_refreshes_at_once_gets_a_hearing_agent() {
    // The page joins, asks for the agent (its `joined` concerned no dispatch), and is refreshed
    // before the first look: the agent heard a person leave, and may be deaf.
    let scene = Scene::open().await;
    scene.joined("PA_1").await;
    scene.make("AD_1").await;
    scene.pass(Duration::from_millis(400));
    scene.left("PA_1").await;
    scene.joined("PA_2").await;
    scene.pass(Duration::from_millis(100));
    let claimed = scene.claim_check().await;
    let (judgement, record) = scene.observe(&claimed, &Look::agent_and(&["PA_2"])).await.expect("a judgement");
    assert_eq!((judgement, record.dispatch.reason.as_str()), (Judgement::Redispatch, "returned"));
    scene.commit(&record, "AD_2").await.expect("a commit");
    // The same leaving, twice more: its agent is a new one.
    scene.left("PA_1").await;
    let (judgement, _) = scene.look(&Look::agent_and(&["PA_2"])).await;
    assert_eq!(judgement, Judgement::Well);
}

#[tokio::test]
async fn a_leaving_from_before_the_dispatch_does_not_concern_it() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    scene.look(&Look::agent_and(&["PA_2"])).await;
    scene.notice(NoticeKind::PersonLeft(person("PA_1", 0)), Duration::from_secs(30)).await;
    assert_eq!(scene.field("emptied_at").await, None);
    scene.pass(Duration::from_secs(4000));
    scene.notice(NoticeKind::PersonLeft(person("PA_0", 0)), Duration::from_hours(1)).await;
    assert_eq!(scene.field("emptied_at").await, None);
}

#[tokio::test]
async fn a_finished_room_is_looked_at_at_once_by_all_its_agents() {
    let mut scene = with_person("reported").await;
    let guide = scene.place.clone();
    scene.place = scene.place_of("scribe");
    scene.make("AD_2").await;
    scene.place = guide;
    assert_eq!(scene.notice(NoticeKind::RoomFinished, Duration::ZERO).await, 2);
    assert_eq!(scene.due().await.len(), 2);
    scene.check_keys().await;
}

#[tokio::test]
async fn a_join_time_that_makes_no_sense_stops_nothing() {
    let scene = Scene::open().await;
    scene.make("AD_1").await;
    let mut look = Look::agent_and(&["PA_1", "PA_2"]);
    look.people[0].joined_at_seconds = -5;
    scene.look(&look).await;
    scene.left("PA_2").await;
    assert_eq!(people(&scene).await, ["PA_1"]);
}
