//! Who refreshes a page, opens a second tab or comes back is with an agent that works; with the
//! same one where that is known to live.

use std::time::Duration;

use crate::standin::{Kind, Mischief, WorkerBehaviour};
use crate::support::replica::{AGENT, House, Plan, ROOM};

const REFRESHES: usize = 5;

/// Ann comes, and is with her agent; greenroom knows of her. Gives her session.
async fn ann_is_served(house: &House) -> String {
    house.acquire(ROOM).await;
    let ann = house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    ann
}

/// The page is loaded anew: Ann is gone, the page asks for its agent, and she is back. Gives her session.
async fn refresh(house: &House, ann: &str) -> String {
    house.standin.person_leaves(ROOM, ann);
    house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard)
}

/// Five refreshes as fast as they go; in the end Ann is with an agent that works.
async fn refresh_five_times(house: &House) -> Vec<String> {
    let mut ann = ann_is_served(house).await;
    let mut dispatches = Vec::new();
    for _ in 0..REFRESHES {
        ann = refresh(house, &ann).await;
        dispatches.extend(house.dispatch(ROOM).await.map(|it| it["id"].as_str().unwrap_or_default().to_owned()));
    }
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    dispatches
}

#[tokio::test(flavor = "multi_thread")]
async fn five_refreshes_keep_an_agent_that_reports() {
    let house = House::start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    house.acquire(ROOM).await;
    house.until_dispatch(ROOM, "the agent reports", |it| it["reported"] == "open").await;
    let mut dispatches = refresh_five_times(&house).await;
    dispatches.dedup();
    assert_eq!(dispatches.len(), 1);
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_refreshes_keep_the_agent_where_the_policy_is_always() {
    let house = Plan::default().set("GREENROOM_DISPATCH_RETURN_POLICY", "always").start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    refresh_five_times(&house).await;
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_return_gets_a_fresh_agent_where_the_policy_is_never() {
    let house = Plan::default().set("GREENROOM_DISPATCH_RETURN_POLICY", "never").start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    let mut ann = ann_is_served(&house).await;
    for _ in 0..2 {
        let before = house.until_served(ROOM).await;
        ann = refresh(&house, &ann).await;
        house
            .until("another agent is there", |view| {
                let working = view.working_in(ROOM, AGENT);
                working.len() == 1 && working[0].sid != before.sid
            })
            .await;
        house.until_people(ROOM, 1).await;
    }
    house.until_served(ROOM).await;
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_tabs_of_one_person_share_the_agent() {
    let house = Plan::default().replicas(3).start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    let tabs = tokio::join!(house.acquire(ROOM), house.acquire(ROOM), house.acquire(ROOM));
    assert!(tabs.0.id == tabs.1.id && tabs.1.id == tabs.2.id, "{tabs:?}");
    let sids: Vec<_> =
        (0..3).map(|tab| house.standin.person_joins(ROOM, &format!("ann-{tab}"), Kind::Standard)).collect();
    house.until_people(ROOM, 3).await;
    let agent = house.until_served(ROOM).await;
    for sid in &sids[..2] {
        house.standin.person_leaves(ROOM, sid);
    }
    house.until_people(ROOM, 1).await;
    assert_eq!(house.until_served(ROOM).await.sid, agent.sid);
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stays_keeps_the_agent_while_another_leaves_and_returns() {
    let house = House::start().await;
    // Without reports nothing but Bob's staying speaks for the agent.
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    let mut ann = ann_is_served(&house).await;
    house.standin.person_joins(ROOM, "bob", Kind::Standard);
    let agent = house.until_served(ROOM).await;
    house.until_people(ROOM, 2).await;
    // The order within a second is not known to LiveKit's clock: who came in the same one may have
    // come after the room was empty.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for _ in 0..3 {
        house.standin.person_leaves(ROOM, &ann);
        house.until_people(ROOM, 1).await;
        assert!(house.acquire(ROOM).await.reused);
        ann = house.standin.person_joins(ROOM, "ann", Kind::Standard);
        house.until_people(ROOM, 2).await;
    }
    assert_eq!(house.until_served(ROOM).await.sid, agent.sid);
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    house.agrees(ROOM).await;
}

/// With the default of LiveKit's framework every refresh leaves a deaf agent behind.
async fn deaf_agents_are_replaced(behaviour: WorkerBehaviour, mischief: Mischief) {
    let house = Plan::default().timings(|it| it.webhook_age_max = Duration::from_secs(60)).start().await;
    house.standin.add_worker(AGENT, behaviour);
    let ann = ann_is_served(&house).await;
    house.mischief(mischief);
    let ann = refresh(&house, &ann).await;
    house.until_served(ROOM).await;
    let mut ann = refresh(&house, &ann).await;
    for _ in 2..REFRESHES {
        ann = refresh(&house, &ann).await;
    }
    house.until_served(ROOM).await;
    // What was held back comes late, and changes nothing.
    house.mischief(Mischief::None);
    house.until_people(ROOM, 1).await;
    let agent = house.until_served(ROOM).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(house.standin.view(|view| view.working_in(ROOM, AGENT)).len() == 1, "{agent:?} was good enough");
    house.until_served(ROOM).await;
    house.agrees(ROOM).await;
}

macro_rules! deaf {
    ($($name:ident: $behaviour:expr, $mischief:ident;)+) => { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            deaf_agents_are_replaced($behaviour, Mischief::$mischief).await;
        }
    )+ };
}

deaf! {
    deaf_agents_are_replaced_after_refreshes: WorkerBehaviour::session(), None;
    deaf_agents_are_replaced_when_webhooks_come_three_times: WorkerBehaviour::session(), TripleEach;
    deaf_agents_are_replaced_when_webhooks_come_in_another_order: WorkerBehaviour::session(), ReversePairs;
    deaf_agents_are_replaced_when_webhooks_are_lost: WorkerBehaviour::session(), DropAll;
    deaf_agents_are_replaced_when_webhooks_come_late: WorkerBehaviour::session(), HoldAll;
    deaf_agents_that_report_are_replaced_after_refreshes: WorkerBehaviour::session().reporting(), None;
    deaf_agents_that_report_are_replaced_when_webhooks_come_three_times: WorkerBehaviour::session().reporting(), TripleEach;
    deaf_agents_that_report_are_replaced_when_webhooks_come_in_another_order: WorkerBehaviour::session().reporting(), ReversePairs;
    deaf_agents_that_report_are_replaced_when_webhooks_are_lost: WorkerBehaviour::session().reporting(), DropAll;
    deaf_agents_that_report_are_replaced_when_webhooks_come_late: WorkerBehaviour::session().reporting(), HoldAll;
}
