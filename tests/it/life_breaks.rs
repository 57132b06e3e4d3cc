//! Redis that is away or comes back empty, and leaders that go: delay, never loss.

use std::time::Duration;

use greenroom::lifecycle::Stopped;

use crate::standin::{Kind, WorkerBehaviour};
use crate::support::replica::{AGENT, House, Plan, ROOM};

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_told_while_redis_is_away_and_served_once_it_is_back() {
    let mut house = Plan::default().replicas(3).start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;

    let over = tokio_util::sync::CancellationToken::new();
    let load: Vec<_> = (0..10)
        .map(|_| {
            let (caller, over) = (house.caller.clone(), over.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while !over.is_cancelled() {
                    answers.push(caller.ask(ROOM).await);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                answers
            })
        })
        .collect();
    house.redis.restart_empty(Duration::from_millis(1500)).await;
    house.until_all_serve(ROOM).await;
    over.cancel();
    let mut refused = 0;
    for load in load {
        for answer in load.await.expect("no panic") {
            if answer.status >= 300 {
                assert!(matches!(answer.body["code"].as_str(), Some("store_unavailable" | "timeout")), "{answer:?}");
                assert!(answer.status == 503 && answer.retry_after.is_some(), "{answer:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "nobody noticed that Redis was away");
    // All is as before: the agent that was there is adopted, since Ann is with it.
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_makes_no_second_agent_where_one_reports() {
    let mut house = Plan::default().start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    house.redis.restart_empty(Duration::from_millis(300)).await;
    house.until_all_serve(ROOM).await;
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    // It goes on reporting under its id, and is adopted under it.
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_costs_no_healthy_agent() {
    let (house, rooms) = ten_reporting_agents().await;
    // Reports are believed for 3 s.
    house.redis.pause(Duration::from_millis(3500)).await;
    all_are_kept(&house, &rooms).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_costs_no_healthy_agent() {
    let (mut house, rooms) = ten_reporting_agents().await;
    house.redis.restart_full(Duration::from_millis(3500)).await;
    all_are_kept(&house, &rooms).await;
}

/// Ten rooms with a person and an agent that reports.
async fn ten_reporting_agents() -> (House, Vec<String>) {
    // Long enough for reports of ten agents on a machine that is busy with other tests.
    let plan = Plan::default().replicas(3).set("GREENROOM_DISPATCH_HEARTBEAT_BELIEVED_MS", "3000");
    let house = plan.set("GREENROOM_DISPATCH_LIVENESS_WINDOW_MS", "4000").start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    let rooms: Vec<String> = (0..10).map(|n| format!("room-{n}")).collect();
    for room in &rooms {
        house.acquire(room).await;
        house.standin.person_joins(room, "ann", Kind::Standard);
    }
    for room in &rooms {
        house.until_people(room, 1).await;
        house.until_dispatch(room, "the agent reports", |it| it["reported"] == "open").await;
    }
    (house, rooms)
}

/// Redis is back: every room has the agent that it had.
async fn all_are_kept(house: &House, rooms: &[String]) {
    house.until_all_serve(&rooms[0]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    for room in rooms {
        house.until_served(room).await;
        assert_eq!(house.standin.created(room, AGENT), 1, "{room}: {:?}", house.reasons(room).await);
        house.agrees(room).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_leads_when_the_leader_stops() {
    let mut house = Plan::default().replicas(3).set("AGENT_TTL_SECONDS", "4").start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    house.acquire(ROOM).await;
    house.acquire("busy").await;
    house.standin.person_joins("busy", "ann", Kind::Standard);
    house.until_people("busy", 1).await;
    for _ in 0..2 {
        let leader = house.until_led().await;
        assert_eq!(house.stop(leader).await, Stopped::Clean);
    }
    house.until_led().await;
    house.until_ended(ROOM).await;
    house.until_people("busy", 1).await;
    house.until("one agent works", |view| view.working_in("busy", AGENT).len() == 1).await;
    house.agrees("busy").await;
}
