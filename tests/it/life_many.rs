//! Many callers at once, over several replicas: one agent a room.

use std::collections::HashSet;
use std::sync::Arc;

use crate::standin::{Kind, Method, WorkerBehaviour};
use crate::support::replica::{AGENT, House, Plan, ROOM};

/// A busy machine may be slow: that is not what is tried here.
fn patient() -> Plan {
    let settings = [
        ("GREENROOM_REDIS_COMMAND_TIMEOUT_MS", "20000"),
        ("GREENROOM_LIVEKIT_CALL_TIMEOUT_MS", "20000"),
        ("GREENROOM_DISPATCH_CREATION_BUDGET_MS", "60000"),
        ("GREENROOM_DISPATCH_JOIN_DEADLINE_MS", "60000"),
        ("GREENROOM_DISPATCH_JOIN_DEADLINE_WITH_JOB_MS", "60000"),
        ("GREENROOM_DISPATCH_LIVENESS_WINDOW_MS", "60000"),
        ("GREENROOM_DISPATCH_HEARTBEAT_BELIEVED_MS", "60000"),
        ("GREENROOM_DISPATCH_CLAIM_MS", "20000"),
        ("GREENROOM_LEADER_LEASE_MS", "20000"),
    ];
    settings.into_iter().fold(Plan::default().replicas(3), |plan, (name, value)| plan.set(name, value))
}

/// All that so many callers at once get, each at another replica than the one before.
async fn ask_at_once(house: &Arc<House>, rooms: &[String], callers: usize) -> Vec<(String, String, bool)> {
    let calls: Vec<_> = (0..callers)
        .flat_map(|_| rooms.iter().cloned())
        .map(|room| {
            let house = Arc::clone(house);
            tokio::spawn(async move {
                let got = house.caller.ask_as_page(&room).await.acquired();
                (room, got.id, got.reused)
            })
        })
        .collect();
    let mut all = Vec::new();
    for call in calls {
        all.push(call.await.expect("an agent for every caller"));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_of_three_replicas_get_one_agent() {
    let house = Arc::new(patient().start().await);
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    let got = ask_at_once(&house, &[ROOM.to_owned()], 1000).await;
    let ids: HashSet<_> = got.iter().map(|(_, id, _)| id).collect();
    let made = got.iter().filter(|(_, _, reused)| !reused).count();
    assert_eq!((got.len(), ids.len(), made), (1000, 1, 1));
    assert_eq!(house.standin.created(ROOM, AGENT), 1);
    assert_eq!(house.standin.count(Method::CreateDispatch), 1);

    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_served(ROOM).await;
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_callers_of_each_of_fifty_rooms_get_one_agent_a_room() {
    let house = Arc::new(patient().start().await);
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    let rooms: Vec<String> = (0..50).map(|n| format!("room-{n}")).collect();
    let got = ask_at_once(&house, &rooms, 20).await;
    let ids: HashSet<_> = got.iter().map(|(room, id, _)| (room, id)).collect();
    let made = got.iter().filter(|(_, _, reused)| !reused).count();
    assert_eq!((got.len(), ids.len(), made), (1000, 50, 50));
    for room in &rooms {
        assert_eq!(house.standin.created(room, AGENT), 1, "{room}");
        house.agrees(room).await;
    }
}
