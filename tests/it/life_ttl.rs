//! The time to live: how long an agent outlives its people, and who decides.

use std::time::Duration;

use crate::standin::{Kind, Mischief, WorkerBehaviour};
use crate::support::replica::{AGENT, House, Plan, ROOM};

async fn house(ttl_seconds: u32) -> House {
    let house = Plan::default().set("AGENT_TTL_SECONDS", &ttl_seconds.to_string()).start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    house
}

async fn seconds(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_returns_within_the_ttl_finds_the_same_agent() {
    let house = house(4).await;
    let before = house.acquire(ROOM).await;
    let ann = house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    let agent = house.until_served(ROOM).await;
    assert!(house.dispatch(ROOM).await.expect("a dispatch")["ttl_expires_at"].is_null());

    house.standin.person_leaves(ROOM, &ann);
    let left = house.until_people(ROOM, 0).await;
    assert!(left["state"] == "idle" && left["ttl_expires_at"].is_string(), "{left:?}");
    assert_eq!(house.acquire(ROOM).await.id, before.id);
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    let back = house.until_dispatch(ROOM, "the time to live stopped", |it| it["ttl_expires_at"].is_null()).await;
    assert_eq!(back["id"], before.id.as_str());
    seconds(4.5).await;
    assert_eq!(house.until_served(ROOM).await.sid, agent.sid);
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_goes_when_its_people_are_gone_for_the_ttl() {
    let house = house(1).await;
    house.acquire(ROOM).await;
    let ann = house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    house.standin.person_leaves(ROOM, &ann);
    house.until_ended(ROOM).await;
    assert_eq!(house.reasons(ROOM).await.last().map(String::as_str), Some("ttl"));
    house.until("the agent has left", |view| view.agents_in(ROOM).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_goes_when_nobody_ever_comes() {
    let house = house(1).await;
    house.acquire(ROOM).await;
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    house.until_ended(ROOM).await;
    house.until("the agent has left", |view| view.agents_in(ROOM).is_empty()).await;
}

/// Greenroom is not told of who comes just before the deadline; it must look before it ends anything.
async fn who_is_there_at_the_deadline_keeps_the_agent(kind: Kind) {
    let plan = Plan::default().set("AGENT_TTL_SECONDS", "3").set("CLEANUP_INTERVAL_MS", "60000").without_webhooks();
    let house = plan.start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    let before = house.acquire(ROOM).await;
    seconds(2.4).await;
    house.standin.person_joins(ROOM, "caller", kind);
    house.until_people(ROOM, 1).await;
    seconds(1.5).await;
    let kept = house.dispatch(ROOM).await.expect("it was kept");
    assert!(kept["id"] == before.id.as_str() && kept["ttl_expires_at"].is_null(), "{kept:?}");
    house.until_served(ROOM).await;
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_is_there_at_the_deadline_keeps_the_agent() {
    who_is_there_at_the_deadline_keeps_the_agent(Kind::Standard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_caller_who_is_there_at_the_deadline_keeps_the_agent() {
    who_is_there_at_the_deadline_keeps_the_agent(Kind::Sip).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_alone_keeps_no_agent() {
    let house = house(1).await;
    house.standin.person_joins(ROOM, "recorder", Kind::Egress);
    house.acquire(ROOM).await;
    house.until_ended(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ttl_is_armed_moved_and_stopped_on_request() {
    let house = house(60).await;
    let id = house.acquire(ROOM).await.id;
    house.until_present(ROOM).await;
    assert!(house.change_ttl(&id, None).await["ttl_expires_at"].is_null());
    let later = house.change_ttl(&id, Some(3)).await;
    assert!(later["ttl_expires_at"].is_string() && later["ttl_seconds"] == 3, "{later:?}");
    assert!(house.change_ttl(&id, None).await["ttl_expires_at"].is_null());
    seconds(4.0).await;
    assert_eq!(house.dispatch(ROOM).await.expect("it is stopped")["id"], id.as_str());
    house.change_ttl(&id, Some(1)).await;
    house.until_ended(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interest_extends_the_ttl() {
    let house = house(2).await;
    let id = house.acquire(ROOM).await.id;
    let mut last = String::new();
    for _ in 0..4 {
        seconds(0.8).await;
        let now = house.show_interest(&id).await["ttl_expires_at"].as_str().expect("it runs").to_owned();
        assert!(now > last, "{last} then {now}");
        last = now;
    }
    assert_eq!(house.dispatch(ROOM).await.expect("it was kept")["id"], id.as_str());
    house.until_ended(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_armed_ttl_ends_nothing_while_people_are_there() {
    let house = house(60).await;
    let id = house.acquire(ROOM).await.id;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    house.mischief(Mischief::DropAll);
    house.change_ttl(&id, Some(1)).await;
    seconds(2.5).await;
    assert_eq!(house.dispatch(ROOM).await.expect("it was kept")["id"], id.as_str());
    house.until_served(ROOM).await;
    house.agrees(ROOM).await;
}
