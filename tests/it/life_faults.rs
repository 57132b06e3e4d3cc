//! A LiveKit that fails: callers are told at once and alike, nothing is left behind, nobody loses
//! an agent for an answer that makes no sense.

use std::time::Duration;

use crate::standin::{Fault, Kind, Method, WorkerBehaviour};
use crate::support::eventually;
use crate::support::replica::{AGENT, House, Plan, ROOM};

const WAITERS: usize = 200;

/// A call that a failing creation makes is tried four times; so many more may be made by those who
/// come after the failure is forgotten.
const CALLS_MAX: usize = 12;

/// Two hundred callers ask while `fault` is in force: few calls, one answer; then it recovers.
async fn all_are_refused_alike(fault: Fault, call_timeout_ms: &str) {
    let plan = Plan::default().set("GREENROOM_DISPATCH_FAILURE_HOLD_MS", "5000");
    let house = plan.set("GREENROOM_LIVEKIT_CALL_TIMEOUT_MS", call_timeout_ms).start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    house.standin.faults().set(Method::CreateDispatch, fault);
    let calls: Vec<_> = (0..WAITERS)
        .map(|_| {
            let caller = house.caller.clone();
            tokio::spawn(async move { caller.ask(ROOM).await })
        })
        .collect();
    for call in calls {
        call.await.expect("no panic").is_refused("provider_unavailable");
    }
    let page = house.caller.ask_as_page(ROOM).await;
    assert_eq!((page.status, &page.body["success"]), (503, &false.into()), "{page:?}");
    assert!(page.body["message"].is_string() && page.retry_after.is_some(), "{page:?}");
    let made = house.standin.count(Method::CreateDispatch);
    assert!(made <= CALLS_MAX, "{made} calls for {WAITERS} callers");

    house.standin.faults().clear_all();
    eventually("it recovers", async || (house.ask(ROOM).await.status < 300).then_some(())).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_served(ROOM).await;
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_callers_get_one_answer_when_livekit_fails() {
    all_are_refused_alike(Fault::status(500), "3000").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_callers_get_one_answer_when_a_proxy_answers() {
    all_are_refused_alike(Fault::html_page(), "3000").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_callers_get_one_answer_when_the_answer_is_empty() {
    all_are_refused_alike(Fault::empty_body(), "3000").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_callers_get_one_answer_when_livekit_asks_for_fewer_calls() {
    all_are_refused_alike(Fault::rate_limited(1), "3000").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_callers_get_one_answer_when_livekit_is_too_slow() {
    all_are_refused_alike(Fault::slow(Duration::from_secs(60)), "400").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatch_whose_reply_is_lost_is_adopted() {
    let house = House::start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::session());
    house.standin.faults().set(Method::CreateDispatch, Fault::done_but_reply_lost().times(1));
    let made = house.acquire(ROOM).await;
    assert!(!made.reused);
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    let ours = house.dispatch(ROOM).await.expect("a dispatch");
    assert_eq!(ours["provider_id"], house.standin.dispatches(ROOM, AGENT)[0].id.as_str());
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_served(ROOM).await;
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_dispatch_hears_its_agent() {
    let house = House::start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    house.standin.faults().set(Method::CreateDispatch, Fault::done_but_reply_lost().times(1));
    house.acquire(ROOM).await;
    house.until_dispatch(ROOM, "its agent is heard", |it| it["reported"] == "open").await;
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_creation_leaves_no_orphan() {
    let house = House::start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    let faults = house.standin.faults();
    faults.set(Method::CreateDispatch, Fault::done_but_reply_lost());
    // The first try finds a room; from then on LiveKit is away.
    faults.set(Method::CreateRoom, Fault::slow(Duration::ZERO).times(1));
    for method in [Method::CreateRoom, Method::ListParticipants, Method::ListDispatch, Method::DeleteDispatch] {
        if method != Method::CreateRoom {
            faults.set(method, Fault::slow(Duration::ZERO).times(1));
        }
        faults.then(method, Fault::unreachable());
    }
    house.ask(ROOM).await.is_refused("provider_unavailable");
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    // It tries to clean up, in vain; then LiveKit is back.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(house.standin.dispatches(ROOM, AGENT).len(), 1);
    faults.clear_all();
    house.until_ended(ROOM).await;
    house.until("no agent is left", |view| view.agents_in(ROOM).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_whose_reply_is_lost_ends_all_the_same() {
    let house = Plan::default().set("AGENT_TTL_SECONDS", "1").start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    house.acquire(ROOM).await;
    house.standin.faults().set(Method::DeleteDispatch, Fault::done_but_reply_lost().times(2));
    house.standin.faults().then(Method::DeleteDispatch, Fault::status(500).times(1));
    house.until_ended(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_loses_an_agent_for_an_answer_that_makes_no_sense() {
    let plan = Plan::default().set("AGENT_TTL_SECONDS", "3").set("CLEANUP_INTERVAL_MS", "60000").without_webhooks();
    let house = plan.start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    let mut rooms = Vec::new();
    for method in [Method::ListRooms, Method::ListParticipants, Method::ListDispatch] {
        for fault in
            [Fault::html_page(), Fault::empty_body(), Fault::status(500), Fault::status(404), Fault::unreachable()]
        {
            let room = format!("room-{}", rooms.len());
            let id = house.acquire(&room).await.id;
            house.until("its agent is there", |view| view.working_in(&room, AGENT).len() == 1).await;
            // Greenroom does not know of her: the time to live runs out.
            house.standin.person_joins(&room, "ann", Kind::Standard);
            house.standin.faults().then(method, fault.in_room(&room));
            rooms.push((room, id));
        }
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    for (room, id) in &rooms {
        let kept = house.dispatch(room).await.unwrap_or_else(|| panic!("{room} lost its agent"));
        assert_eq!(kept["id"], id.as_str(), "{room}");
        assert_eq!(house.standin.dispatches(room, AGENT).len(), 1, "{room}");
    }
    house.standin.faults().clear_all();
    for (room, _) in &rooms {
        house.until_people(room, 1).await;
        house.until_served(room).await;
        assert_eq!(house.standin.created(room, AGENT), 1, "{room}");
        house.agrees(room).await;
    }
}
