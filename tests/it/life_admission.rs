//! Whether a new agent may be made: deploys that drain, bounds, and a greenroom that only observes.

use futures_util::future::join_all;
use reqwest::Method as Verb;
use serde_json::json;

use crate::standin::{Kind, Method, WorkerBehaviour};
use crate::support::eventually;
use crate::support::replica::{AGENT, House, Plan, ROOM};

async fn house(plan: Plan) -> House {
    let house = plan.start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_drains_gets_no_new_room_and_keeps_those_it_has() {
    let house = house(Plan::default()).await;
    let kept = house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    let agent = house.until_served(ROOM).await;

    let path = format!("/v1/agents/{AGENT}");
    let drained = house.caller.call(Verb::POST, &format!("{path}/drain"), None).await;
    assert_eq!((drained.status, &drained.body["dispatches"]), (200, &json!(1)));
    assert!(drained.body["draining_since"].is_string(), "{:?}", drained.body);
    // A room that was let in before the replica knew is reused for ever: each asks for another.
    let mut asked = 0;
    eventually("both replicas refuse", async || {
        asked += 2;
        let (one, other) = (house.ask(&format!("new-{asked}")).await, house.ask(&format!("newer-{asked}")).await);
        (one.status == 409 && other.status == 409).then_some(())
    })
    .await;
    let refused = house.ask("newest").await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("agent_draining")));
    assert_eq!(house.acquire(ROOM).await.id, kept.id);

    // One that runs goes on, also when its worker is lost.
    house.standin.kill_agent(ROOM, &agent.sid);
    house.until("another agent serves", |view| view.working_in(ROOM, AGENT).iter().any(|it| it.sid != agent.sid)).await;
    house.until_served(ROOM).await;

    let before = house.caller.call(Verb::GET, &path, None).await.body["dispatches"].as_u64().expect("a number");
    house.delete(&kept.id).await;
    let left = house.caller.call(Verb::GET, &path, None).await;
    assert!(left.body["dispatches"].as_u64().expect("a number") < before, "{:?}", left.body);
    house.caller.call(Verb::POST, &format!("{path}/undrain"), None).await;
    eventually("it takes new rooms", async || (house.ask("last").await.status < 300).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_bound_live_at_once_however_many_ask() {
    let house = house(Plan::default().replicas(3).set("GREENROOM_DISPATCH_LIVE_PER_AGENT_MAX", "5")).await;
    let rooms: Vec<String> = (0..60).map(|n| format!("room-{n}")).collect();
    let answers = join_all(rooms.iter().map(|room| house.ask(room))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 5);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!((refused.status, &refused.body["code"]), (429, &json!("too_many_dispatches")));
        assert!(refused.body["retry_after_seconds"].is_u64(), "{:?}", refused.body);
    }
    // Those that live are handed out; where one ended there is room for another.
    let (live, waiting): (Vec<_>, Vec<_>) = rooms.iter().zip(&answers).partition(|(_, answer)| answer.status == 201);
    assert_eq!(house.ask(live[0].0).await.status, 200);
    house.delete(live[1].1.body["id"].as_str().expect("an id")).await;
    assert_eq!(house.ask(waiting[0].0).await.status, 201);
    assert_eq!(house.ask(waiting[1].0).await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_observes_finds_the_agents_of_others_and_changes_nothing() {
    let house =
        house(Plan::default().set("GREENROOM_DISPATCH_OBSERVE_ONLY", "true").set("AGENT_TTL_SECONDS", "1")).await;
    let refused = house.ask(ROOM).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("observe_only")));

    house.dispatch_by_another(ROOM, AGENT).await;
    let ann = house.standin.person_joins(ROOM, "ann", Kind::Standard);
    let found = eventually("the agent of the other is found", async || {
        let asked = house.ask(ROOM).await;
        (asked.status < 300).then_some(asked)
    })
    .await;
    house.until_people(ROOM, 1).await;
    let ended = house.delete(found.body["id"].as_str().expect("an id")).await;
    assert_eq!((ended.status, &ended.body["code"]), (409, &json!("observe_only")));
    house.standin.person_leaves(ROOM, &ann);
    eventually("it is forgotten", async || house.dispatch(ROOM).await.is_none().then_some(())).await;
    let count = |method| house.standin.count(method);
    // Those of the other alone.
    assert_eq!((count(Method::CreateRoom), count(Method::CreateDispatch)), (1, 1));
    assert_eq!((count(Method::DeleteDispatch), count(Method::RemoveParticipant)), (0, 0));
    assert_eq!(house.standin.dispatches(ROOM, AGENT).len(), 1);
}
