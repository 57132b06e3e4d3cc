//! Supervision: agents that do not come, or are lost, are dispatched again; never two at once.

use std::time::Duration;

use crate::standin::{Delivery, Kind, WorkerBehaviour};
use crate::support::eventually;
use crate::support::replica::{AGENT, House, Plan, ROOM};

/// How long LiveKit shows a dead agent: longer than any test waits.
const NEVER_NOTICED: Duration = Duration::from_secs(120);

/// The most agents that were in the room at once, working or not, by what LiveKit told in order.
fn agents_at_once(deliveries: &[Delivery]) -> usize {
    let (mut there, mut most) = (0_usize, 0);
    for Delivery { event, .. } in deliveries.iter().filter(|delivery| delivery.attempt == 1) {
        let is_agent = event.participant.as_ref().is_some_and(|one| one.kind() == Kind::Agent);
        match event.event.as_str() {
            "participant_joined" if is_agent => there += 1,
            "participant_left" if is_agent => there = there.saturating_sub(1),
            _ => {}
        }
        most = most.max(there);
    }
    most
}

/// Ann and her agent, which has reported if it ever does.
async fn ann_is_served(house: &House, behaviour: WorkerBehaviour, reports: bool) -> crate::standin::WorkerId {
    let worker = house.standin.add_worker(AGENT, behaviour);
    house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    if reports {
        house.until_dispatch(ROOM, "the agent reports", |it| it["reported"] == "open").await;
    }
    worker
}

fn impatient() -> Plan {
    Plan::default()
        .set("GREENROOM_DISPATCH_JOIN_DEADLINE_MS", "1000")
        .set("GREENROOM_DISPATCH_JOIN_DEADLINE_WITH_JOB_MS", "3000")
        .set("GREENROOM_DISPATCH_SLOW_TRY_INTERVAL_MS", "1000")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_comes_when_a_worker_registers() {
    let house = impatient().start().await;
    let asked = house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.until("the lost dispatch is made again", |view| view.created(ROOM, AGENT) >= 2).await;
    assert_eq!(house.dispatch(ROOM).await.expect("a dispatch")["state"], "starting");
    house.standin.add_worker(AGENT, WorkerBehaviour::session());
    house.until_served(ROOM).await;
    assert_eq!(house.dispatch(ROOM).await.expect("a dispatch")["id"], asked.id.as_str());
    assert!(house.reasons(ROOM).await.iter().any(|reason| reason == "join_deadline"));
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatch_without_workers_is_degraded_and_recovers() {
    let house = impatient().set("GREENROOM_DISPATCH_QUICK_TRIES", "1").start().await;
    house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_dispatch(ROOM, "it is degraded", |it| it["state"] == "degraded").await;
    house.standin.add_worker(AGENT, WorkerBehaviour::session());
    house.until_served(ROOM).await;
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_loads_for_long_is_waited_for() {
    let house = impatient().set("GREENROOM_DISPATCH_JOIN_DEADLINE_WITH_JOB_MS", "20000").start().await;
    let slow = WorkerBehaviour::session().joins_after(Duration::from_millis(3500));
    house.standin.add_worker(AGENT, slow);
    house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_served(ROOM).await;
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_that_reported_is_replaced_before_livekit_notices() {
    let house = Plan::default().timings(|it| it.connection_timeout = NEVER_NOTICED).start().await;
    let worker = ann_is_served(&house, WorkerBehaviour::session().reporting(), true).await;
    let id = house.dispatch(ROOM).await.expect("a dispatch")["id"].clone();
    house.standin.add_worker(AGENT, WorkerBehaviour::session().reporting());
    house.standin.kill_worker(worker);
    house.until_served(ROOM).await;
    assert_eq!(house.dispatch(ROOM).await.expect("a dispatch")["id"], id);
    assert!(house.reasons(ROOM).await.iter().any(|reason| reason == "agent_silent"));
    assert_eq!(house.standin.created(ROOM, AGENT), 2);
    assert_eq!(agents_at_once(&house.standin.deliveries()), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_that_never_reported_is_replaced_once_livekit_notices() {
    let house = Plan::default().start().await;
    let worker = ann_is_served(&house, WorkerBehaviour::session(), false).await;
    house.standin.add_worker(AGENT, WorkerBehaviour::session());
    house.standin.kill_worker(worker);
    house.until_served(ROOM).await;
    assert!(house.reasons(ROOM).await.iter().any(|reason| reason == "agent_gone"));
    assert_eq!(house.standin.created(ROOM, AGENT), 2);
    assert_eq!(agents_at_once(&house.standin.deliveries()), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_is_replaced_without_webhooks_too() {
    let house = Plan::default().without_webhooks().start().await;
    let worker = ann_is_served(&house, WorkerBehaviour::session(), false).await;
    house.standin.add_worker(AGENT, WorkerBehaviour::session());
    house.standin.kill_worker(worker);
    house.until_served(ROOM).await;
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_go_is_shown_out_before_the_next_comes() {
    let house = Plan::default().set("GREENROOM_DISPATCH_RETURN_POLICY", "never").start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::stubborn());
    house.acquire(ROOM).await;
    let ann = house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    let before = house.until_served(ROOM).await;
    house.standin.person_leaves(ROOM, &ann);
    house.until_people(ROOM, 0).await;
    house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house
        .until("another agent works", |view| {
            let working = view.working_in(ROOM, AGENT);
            working.len() == 1 && working[0].sid != before.sid
        })
        .await;
    house.until_served(ROOM).await;
    assert_eq!(agents_at_once(&house.standin.deliveries()), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_crashes_again_and_again_is_made_again_ever_more_slowly() {
    let plan = impatient().set("GREENROOM_DISPATCH_QUICK_TRIES", "3");
    let house = plan.set("GREENROOM_DISPATCH_SLOW_TRY_INTERVAL_MS", "60000").start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::session().ends_after(Duration::from_millis(100)));
    house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    // One, three quick tries, and one slow try; the next is a minute away.
    house.until("the quick tries are used up", |view| view.created(ROOM, AGENT) >= 4).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let created = house.standin.created(ROOM, AGENT);
    assert!(created <= 6, "{created} were made");
    let tries = house.dispatch(ROOM).await.expect("a dispatch")["tries"].as_u64();
    assert!(tries.is_some_and(|tries| tries >= 3), "{tries:?}");
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_leaves_an_empty_room_is_not_missed() {
    let house = Plan::default().set("AGENT_TTL_SECONDS", "4").start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::session());
    house.acquire(ROOM).await;
    let ann = house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    let agent = house.until_served(ROOM).await;
    house.standin.person_leaves(ROOM, &ann);
    house.until_people(ROOM, 0).await;
    house.standin.kill_agent(ROOM, &agent.sid);
    house.until("the agent is gone", |view| view.agents_in(ROOM).is_empty()).await;
    house.until_ended(ROOM).await;
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_agent_is_not_handed_out() {
    let house = Plan::default().without_webhooks().set("GREENROOM_DISPATCH_RETURN_POLICY", "always").start().await;
    let worker = house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    house.acquire(ROOM).await;
    let agent = house.until_present(ROOM).await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    house.standin.kill_worker(worker);
    house.until("LiveKit has noticed", |view| view.agents_in(ROOM).iter().all(|one| one.sid != agent.sid)).await;
    // Within the liveness window it may be given still; after it never.
    let fresh = eventually("another dispatch is given", async || {
        let asked = house.acquire(ROOM).await;
        (house.standin.created(ROOM, AGENT) >= 2).then_some(asked)
    })
    .await;
    assert_eq!(house.dispatch(ROOM).await.expect("a dispatch")["id"], fresh.id.as_str());
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_served(ROOM).await;
    house.agrees(ROOM).await;
}
