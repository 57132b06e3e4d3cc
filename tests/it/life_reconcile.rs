//! Redis came back empty, and nobody asks: what LiveKit has is found again.

use std::time::Duration;

use crate::standin::{Kind, WorkerBehaviour};
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
