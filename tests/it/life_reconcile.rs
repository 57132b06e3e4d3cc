//! Redis came back empty, and nobody asks: what LiveKit has is found again.

use std::time::Duration;

use crate::standin::{Fault, Kind, Method, WorkerBehaviour};
use crate::support::eventually;
use crate::support::replica::{AGENT, House, Plan, ROOM};

async fn emptied(house: &mut House) {
    house.redis.restart_empty(Duration::from_millis(300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_emptied_redis_agents_are_found_again_though_nobody_asks() {
    let mut house = Plan::default().start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    let before = house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    let agent = house.until_served(ROOM).await;
    house.acquire("empty").await;
    house.until_present("empty").await;

    emptied(&mut house).await;
    house.until_found(ROOM).await;
    house.until_people(ROOM, 1).await;
    assert_eq!(house.until_served(ROOM).await.sid, agent.sid);
    assert_eq!(house.until_found("empty").await["state"], "idle");
    assert_eq!(house.acquire(ROOM).await.id, before.id);
    for room in [ROOM, "empty"] {
        assert_eq!(house.standin.created(room, AGENT), 1);
        house.agrees(room).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_found_again_in_an_empty_room_ends_by_its_time_to_live() {
    let mut house = Plan::default().set("AGENT_TTL_SECONDS", "3").start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    house.acquire(ROOM).await;
    let ann = house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    emptied(&mut house).await;
    house.until_found(ROOM).await;
    house.standin.person_leaves(ROOM, &ann);
    house.until_ended(ROOM).await;
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_dispatched_is_left_alone() {
    let mut house = Plan::default().start().await;
    house.standin.add_worker("foreign", WorkerBehaviour::long_lived());
    house.dispatch_by_another("elsewhere", "foreign").await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    house.acquire(ROOM).await;
    house.until_present(ROOM).await;
    emptied(&mut house).await;
    house.until_found(ROOM).await;
    assert!(house.dispatch_of("elsewhere", "foreign").await.is_none());
    assert_eq!(house.standin.dispatches("elsewhere", "foreign").len(), 1);
}

/// The round after the break met the creation under way; its failure must not hide the agent from the next rounds.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_found_again_though_a_creation_in_its_place_failed() {
    let plan = Plan::default().set("GREENROOM_DISPATCH_RECONCILE_INTERVAL_MS", "1000");
    let plan = plan.set("GREENROOM_DISPATCH_CREATION_RETRIES", "0");
    let mut house = plan.set("GREENROOM_DISPATCH_CREATION_BUDGET_MS", "4000").start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    house.acquire(ROOM).await;
    let agent = house.until_present(ROOM).await;
    house.standin.faults().set(Method::CreateRoom, Fault::slow(Duration::from_secs(10)));
    emptied(&mut house).await;
    // Who asks first after the break meets a provider that does not answer.
    eventually("somebody gets an answer", async || {
        let answer = house.caller.ask(ROOM).await;
        (answer.body["code"] != "store_unavailable").then_some(())
    })
    .await;
    house.standin.faults().clear_all();
    assert_eq!(house.until_found(ROOM).await["provider_id"], agent.dispatch_id);
    house.agrees(ROOM).await;
}
