//! With the times that greenroom and LiveKit are shipped with: how long an agent is missed that was
//! killed while a person was there. The times are told, and only their order is asserted.

use std::time::{Duration, Instant};

use crate::standin::{Kind, WorkerBehaviour};
use crate::support::eventually;
use crate::support::replica::{AGENT, House, Plan, ROOM};

/// LiveKit shows a killed agent for 19.2 s.
const PATIENCE: Duration = Duration::from_mins(1);

/// Kills the worker whose agent serves Ann while another one is free; how long until the next dispatch.
async fn killed_with_ann_there(behaviour: WorkerBehaviour) -> (House, Duration) {
    let house = Plan::shipped().start().await;
    let worker = house.standin.add_worker(AGENT, behaviour.clone());
    house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    house.standin.add_worker(AGENT, behaviour);
    until_no_grace(&house).await;
    house.standin.kill_worker(worker);
    let killed = Instant::now();
    let again = house.standin.wait_until(|view| view.created(ROOM, AGENT) == 2, PATIENCE).await;
    let missed = killed.elapsed();
    again.expect("a new dispatch");
    (house, missed)
}

/// A store that is new gives every agent one period of grace, as after a break.
async fn until_no_grace(house: &House) {
    let keys: Vec<String> = house.redis.run(&["KEYS", "gr:{*}:shard"]).await;
    eventually("the grace is over", async || {
        let (seconds, _): (u64, u64) = house.redis.run(&["TIME"]).await;
        for key in &keys {
            let until_ms: Option<u64> = house.redis.run(&["HGET", key, "grace_until"]).await;
            until_ms.filter(|until_ms| *until_ms < seconds * 1000)?;
        }
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_reported_is_missed_before_livekit_misses_it() {
    let (house, missed) = killed_with_ann_there(WorkerBehaviour::session().reporting()).await;
    eprintln!("killed, and dispatched again after {missed:?}");
    // Had LiveKit told, the reason would be another.
    assert!(house.reasons(ROOM).await.iter().any(|reason| reason == "agent_silent"));
    house.until_served(ROOM).await;
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_never_reported_is_missed_when_livekit_misses_it() {
    let (house, missed) = killed_with_ann_there(WorkerBehaviour::session()).await;
    eprintln!("killed, and dispatched again after {missed:?}");
    assert!(house.reasons(ROOM).await.iter().any(|reason| reason == "agent_gone"));
    house.until_served(ROOM).await;
    house.agrees(ROOM).await;
}
