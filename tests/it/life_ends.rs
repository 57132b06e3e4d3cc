//! Ends that nobody planned, and dispatches that somebody else made.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::standin::{Fault, Kind, Method, WorkerBehaviour};
use crate::support::eventually;
use crate::support::replica::{AGENT, House, Plan, ROOM};

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_somebody_closes_ends_its_dispatch() {
    let house = House::start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    house.livekit(Method::DeleteRoom, json!({"room": ROOM})).await;
    house.until_ended(ROOM).await;
    assert_eq!(house.reasons(ROOM).await.last().map(String::as_str), Some("room_closed"));
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_room_is_noticed_without_webhooks() {
    let house = Plan::default().without_webhooks().start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.livekit(Method::DeleteRoom, json!({"room": ROOM})).await;
    house.until_ended(ROOM).await;
    assert_eq!(house.reasons(ROOM).await.last().map(String::as_str), Some("room_closed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatch_that_somebody_made_before_is_adopted() {
    let house = House::start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    let theirs = house.livekit(Method::CreateDispatch, json!({"room": ROOM, "agent_name": AGENT})).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until("their agent works", |view| view.working_in(ROOM, AGENT).len() == 1).await;
    house.acquire(ROOM).await;
    let ours = house.until_dispatch(ROOM, "it is the one", |it| it["provider_id"] == theirs["id"]).await;
    assert_eq!(ours["reason"].as_str().map(|reason| matches!(reason, "adopted" | "agent_seen")), Some(true));
    house.until_served(ROOM).await;
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_that_somebody_made_one_remains() {
    let house = House::start().await;
    // One job at a time: the others' agents are not there to be counted.
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().capacity(1));
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    for _ in 0..3 {
        house.livekit(Method::CreateDispatch, json!({"room": ROOM, "agent_name": AGENT})).await;
    }
    house.until("their agent works", |view| view.working_in(ROOM, AGENT).len() == 1).await;
    let listed = |view: &crate::standin::View<'_>| {
        view.dispatches(ROOM, AGENT).iter().any(|one| one.state.as_ref().is_some_and(|state| !state.jobs.is_empty()))
    };
    house.until("its job is listed", listed).await;
    house.acquire(ROOM).await;
    house.until_served(ROOM).await;
    assert_eq!(house.standin.dispatches(ROOM, AGENT).len(), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_agents_of_the_room_are_left_alone() {
    let house = House::start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    house.standin.add_worker("translator", WorkerBehaviour::long_lived());
    let other = house.livekit(Method::CreateDispatch, json!({"room": ROOM, "agent_name": "translator"})).await;
    let id = house.acquire(ROOM).await.id;
    house.until_present(ROOM).await;
    assert_eq!(house.delete(&id).await.status, 200);
    house.until_ended(ROOM).await;
    let left = house.standin.dispatches(ROOM, "translator");
    assert_eq!(left.first().map(|one| one.id.as_str()), other["id"].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatch_is_deleted_on_request_while_people_are_there() {
    let house = House::start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    let id = house.acquire(ROOM).await.id;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    let deleted = house.delete(&id).await;
    assert_eq!((deleted.status, &deleted.body["id"]), (200, &id.clone().into()), "{deleted:?}");
    assert!(house.standin.dispatches(ROOM, AGENT).is_empty(), "the answer came before the end");
    house.until_ended(ROOM).await;
    assert_eq!(house.delete(&id).await.status, 404);
    // Who asks again gets another.
    assert_ne!(house.acquire(ROOM).await.id, id);
    house.until_served(ROOM).await;
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_while_a_dispatch_ends_gets_a_new_one() {
    let house = Arc::new(House::start().await);
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    let before = house.acquire(ROOM).await.id;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    house.standin.faults().set(Method::DeleteDispatch, Fault::slow(Duration::from_millis(1500)).times(1));
    let deletion = {
        let (house, before) = (Arc::clone(&house), before.clone());
        tokio::spawn(async move { house.delete(&before).await })
    };
    eventually("it is ending", async || house.dispatch(ROOM).await.filter(|it| it["state"] == "ending")).await;
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let caller = house.caller.clone();
            tokio::spawn(async move { caller.ask(ROOM).await.acquired() })
        })
        .collect();
    let mut ids = Vec::new();
    for call in calls {
        ids.push(call.await.expect("an agent").id);
    }
    ids.dedup();
    assert!(ids.len() == 1 && ids[0] != before, "{ids:?} after {before}");
    assert_eq!(deletion.await.expect("no panic").status, 200);
    house.until_served(ROOM).await;
    assert_eq!(house.standin.created(ROOM, AGENT), 2, "{:?}", house.reasons(ROOM).await);
    house.agrees(ROOM).await;
}
