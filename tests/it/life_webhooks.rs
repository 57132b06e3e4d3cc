//! Webhooks that come three times, in another order, late or never change nothing in the end.

use std::time::Duration;

use crate::standin::{Kind, Mischief, WorkerBehaviour};
use crate::support::replica::{AGENT, Plan, ROOM};

/// Two come, one goes, the other goes: at each step greenroom knows what is so.
async fn the_end_is_the_same(mischief: Mischief) {
    let plan = Plan::default().set("AGENT_TTL_SECONDS", "3");
    let house = plan.timings(|it| it.webhook_age_max = Duration::from_secs(60)).start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    house.mischief(mischief);
    let first = house.acquire(ROOM).await;
    let ann = house.standin.person_joins(ROOM, "ann", Kind::Standard);
    let bob = house.standin.person_joins(ROOM, "bob", Kind::Standard);
    let both = house.until_people(ROOM, 2).await;
    assert!(both["ttl_expires_at"].is_null(), "{both:?}");
    let agent = house.until_served(ROOM).await;
    assert_eq!(house.status(ROOM).await["participantCount"], 2);

    house.standin.person_leaves(ROOM, &ann);
    let one = house.until_people(ROOM, 1).await;
    assert!(one["ttl_expires_at"].is_null() && one["state"] == "active", "{one:?}");

    house.standin.person_leaves(ROOM, &bob);
    let none = house.until_people(ROOM, 0).await;
    assert!(none["ttl_expires_at"].is_string() && none["state"] == "idle", "{none:?}");
    assert_eq!(none["id"], first.id.as_str());
    assert_eq!(house.until_present(ROOM).await.sid, agent.sid);

    // What is held back comes now, all at once: nobody comes alive again.
    house.mischief(Mischief::None);
    house.until_ended(ROOM).await;
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    assert_eq!(house.reasons(ROOM).await.last().map(String::as_str), Some("ttl"));
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_known_with_webhooks() {
    the_end_is_the_same(Mischief::None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_known_when_webhooks_come_three_times() {
    the_end_is_the_same(Mischief::TripleEach).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_known_when_webhooks_come_in_another_order() {
    the_end_is_the_same(Mischief::ReversePairs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_known_when_webhooks_come_late() {
    the_end_is_the_same(Mischief::HoldAll).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_known_when_webhooks_are_lost() {
    the_end_is_the_same(Mischief::DropAll).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_of_a_room_that_ended_makes_nothing() {
    let plan = Plan::default().set("AGENT_TTL_SECONDS", "1");
    let house = plan.timings(|it| it.webhook_age_max = Duration::from_secs(60)).start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    house.mischief(Mischief::HoldAll);
    house.acquire(ROOM).await;
    let ann = house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.standin.person_leaves(ROOM, &ann);
    house.until_ended(ROOM).await;
    let before = house.standin.deliveries().len();
    house.mischief(Mischief::None);
    let came = house.standin.wait_for_webhooks(|all| all.len() >= before + 4, Duration::from_secs(20)).await;
    came.expect("what was held back came");
    house.until_ended(ROOM).await;
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
}
