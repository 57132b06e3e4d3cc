//! The simulation against what LiveKit does.

use super::*;
use crate::dispatch::NoticeKind;
use crate::provider::Person;

const TIMEOUTS: RoomTimeouts = RoomTimeouts { empty_timeout_seconds: 400, departure_timeout_seconds: 50 };

async fn pass(milliseconds: u64) {
    tokio::time::advance(Duration::from_millis(milliseconds)).await;
}

async fn dispatch(simulated: &Simulated, room: &str) -> ProviderDispatch {
    let attributes = HashMap::from([("k".to_owned(), "v".to_owned())]);
    simulated.create(room, "bot", "", attributes).await.expect("a dispatch")
}

async fn look(simulated: &Simulated, room: &str) -> Look {
    simulated.look(room, true).await.expect("a look")
}

fn subscribed() -> (Simulated, mpsc::Receiver<RoomNotice>) {
    let (sender, receiver) = mpsc::channel(100);
    let simulated = Simulated::default();
    simulated.subscribe(sender);
    (simulated, receiver)
}

#[tokio::test(start_paused = true)]
async fn an_agent_comes_after_its_time() {
    let simulated = Simulated::default();
    assert_eq!(look(&simulated, "r1").await, Look::default());
    let made = dispatch(&simulated, "r1").await;
    assert_eq!((made.agent.as_str(), made.attributes["k"].as_str()), ("bot", "v"));
    assert!(made.created_at_seconds > 1_700_000_000);
    pass(299).await;
    let early = look(&simulated, "r1").await;
    assert!(early.room_exists && early.agents.is_empty());
    assert_eq!(early.dispatches, Some(vec![made.clone()]));
    pass(1).await;
    let later = look(&simulated, "r1").await;
    assert_eq!(later.agents.len(), 1);
    assert_eq!(later.agents[0].name.as_deref(), Some("bot"));
    assert_eq!(later.dispatches.expect("dispatches")[0].job_identities, [later.agents[0].identity.as_str()]);
    assert_eq!(simulated.look("r1", false).await.expect("a look").dispatches, None);
}

#[tokio::test(start_paused = true)]
async fn dispatches_are_not_deduplicated_and_deleting_is_idempotent() {
    let simulated = Simulated::default();
    let first = dispatch(&simulated, "r1").await;
    let second = dispatch(&simulated, "r1").await;
    assert_ne!(first.id, second.id);
    assert_eq!(simulated.dispatches_made(), 2);
    pass(300).await;
    assert_eq!(look(&simulated, "r1").await.agents.len(), 2);
    for room in ["r1", "r1", "missing"] {
        assert_eq!(simulated.delete(room, &first.id).await, Ok(()));
    }
    let left = look(&simulated, "r1").await;
    assert_eq!(left.agents.len(), 1);
    assert_eq!(left.dispatches.expect("dispatches")[0].id, second.id);
}

#[tokio::test(start_paused = true)]
async fn a_removed_agent_is_gone_and_its_job_still_listed() {
    let simulated = Simulated::default();
    dispatch(&simulated, "r1").await;
    pass(300).await;
    let identity = look(&simulated, "r1").await.agents[0].identity.clone();
    for who in [identity.as_str(), identity.as_str(), "nobody"] {
        assert_eq!(simulated.remove_agent("r1", who).await, Ok(()));
    }
    let after = look(&simulated, "r1").await;
    assert!(after.agents.is_empty());
    assert_eq!(after.dispatches.expect("dispatches")[0].job_identities, [identity]);
}

#[tokio::test(start_paused = true)]
async fn rooms_close_after_their_time_outs_whatever_agents_are_there() {
    let simulated = Simulated::default();
    simulated.ensure_room("r1", TIMEOUTS).await.expect("a room");
    dispatch(&simulated, "r1").await;
    pass(399_999).await;
    assert!(look(&simulated, "r1").await.room_exists);
    pass(1).await;
    assert_eq!(look(&simulated, "r1").await, Look::default());

    simulated.ensure_room("r1", TIMEOUTS).await.expect("a room");
    let ann = simulated.person_joins("r1").expect("a person");
    let bob = simulated.person_joins("r1").expect("a person");
    pass(1_000_000).await;
    assert!(simulated.person_leaves("r1", &ann));
    assert!(!simulated.person_leaves("r1", &ann));
    pass(1_000_000).await;
    assert_eq!(look(&simulated, "r1").await.people.len(), 1);
    assert!(simulated.person_leaves("r1", &bob));
    pass(49_999).await;
    assert!(look(&simulated, "r1").await.room_exists);
    simulated.person_joins("r1").expect("a person");
    pass(1_000_000).await;
    assert!(look(&simulated, "r1").await.room_exists);
}

#[tokio::test(start_paused = true)]
async fn an_existing_room_keeps_its_time_outs_and_zero_means_the_default() {
    let simulated = Simulated::default();
    let zero = RoomTimeouts { empty_timeout_seconds: 0, departure_timeout_seconds: 0 };
    simulated.ensure_room("r1", zero).await.expect("a room");
    simulated.ensure_room("r1", TIMEOUTS).await.expect("a room");
    pass(299_999).await;
    assert!(look(&simulated, "r1").await.room_exists);
    pass(1).await;
    assert!(!look(&simulated, "r1").await.room_exists);
}

#[tokio::test(start_paused = true)]
async fn notices_come_in_time_without_anybody_looking() {
    let (simulated, mut notices) = subscribed();
    let running = simulated.clone();
    let run = tokio::spawn(async move { running.run().await });
    let start = Instant::now();
    let mut next = async || {
        let notice = notices.recv().await.expect("a notice");
        assert_eq!(notice.room, "r1");
        (notice.kind, start.elapsed().as_millis())
    };
    dispatch(&simulated, "r1").await;
    assert!(matches!(next().await, (NoticeKind::AgentChanged, 300..=320)));
    let sid = simulated.person_joins("r1").expect("a person");
    assert!(matches!(next().await, (NoticeKind::PersonJoined(Person { sid: joined, .. }), _) if joined == sid));
    simulated.person_leaves("r1", &sid);
    assert!(matches!(next().await, (NoticeKind::PersonLeft(Person { sid: left, .. }), _) if left == sid));
    // The departure time-out, although the room was first to be looked into after 300 s.
    assert!(matches!(next().await, (NoticeKind::RoomFinished, 20_300..=20_360)));
    run.abort();
}

#[tokio::test(start_paused = true)]
async fn notices_of_calls_come_at_once_and_have_ids_of_their_own() {
    let (simulated, mut notices) = subscribed();
    let made = dispatch(&simulated, "r1").await;
    pass(300).await;
    simulated.delete("r1", &made.id).await.expect("deleted");
    assert!(simulated.close_room("r1"));
    assert!(!simulated.close_room("r1"));
    let mut ids = std::collections::HashSet::new();
    let mut kinds = Vec::new();
    while let Ok(notice) = notices.try_recv() {
        ids.insert(notice.event_id);
        kinds.push(notice.kind);
    }
    assert_eq!(kinds, [NoticeKind::AgentChanged, NoticeKind::AgentChanged, NoticeKind::RoomFinished]);
    assert_eq!(ids.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_dispatch_without_workers_is_lost_for_good() {
    let simulated = Simulated::default();
    simulated.set_workers(false);
    dispatch(&simulated, "r1").await;
    simulated.set_workers(true);
    pass(10_000).await;
    let lost = look(&simulated, "r1").await;
    assert!(lost.agents.is_empty());
    assert!(lost.dispatches.expect("dispatches")[0].job_identities.is_empty());
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_comes_back() {
    let simulated = Simulated::new(&SimulatedOptions { entries_max: 10, ..SimulatedOptions::default() });
    for room in 0..5 {
        dispatch(&simulated, &format!("r{room}")).await;
    }
    let full = |error: ProviderError| matches!(error, ProviderError::Unavailable { .. });
    assert!(simulated.create("r9", "bot", "", HashMap::new()).await.is_err_and(full));
    assert!(simulated.ensure_room("r9", TIMEOUTS).await.is_err_and(full));
    assert!(simulated.person_joins("r0").is_err_and(full));
    // Rooms that nobody ever asks about again close all the same.
    pass(300_000).await;
    for room in 10..15 {
        dispatch(&simulated, &format!("r{room}")).await;
    }
    assert_eq!(simulated.inner.world.lock().expect("a lock").sizes(), (5, 10));
}

#[tokio::test(start_paused = true)]
async fn coming_and_going_leaves_nothing_behind() {
    let simulated = Simulated::default();
    simulated.ensure_room("r1", TIMEOUTS).await.expect("a room");
    for _ in 0..10_000 {
        let sid = simulated.person_joins("r1").expect("a person");
        let made = dispatch(&simulated, "r1").await;
        pass(1_000).await;
        simulated.delete("r1", &made.id).await.expect("deleted");
        assert!(simulated.person_leaves("r1", &sid));
    }
    let world = simulated.inner.world.lock().expect("a lock");
    assert_eq!(world.sizes(), (1, 1));
    assert_eq!(world.due_len(), 1);
}

#[tokio::test(start_paused = true)]
async fn metadata_has_the_limit_of_the_real_one() {
    let simulated = Simulated::default();
    let create = async |bytes| simulated.create("r1", "bot", &"x".repeat(bytes), HashMap::new()).await;
    assert!(create(524_288).await.is_ok());
    assert!(matches!(create(524_289).await, Err(ProviderError::Rejected { code, .. }) if code == "invalid_argument"));
}

#[tokio::test(start_paused = true)]
async fn calls_take_their_time() {
    let options = SimulatedOptions { call_delay: Duration::from_millis(70), ..SimulatedOptions::default() };
    let simulated = Simulated::new(&options);
    let start = Instant::now();
    look(&simulated, "r1").await;
    assert_eq!(start.elapsed().as_millis(), 70);
}
