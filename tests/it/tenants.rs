//! Keys and tenants over real replicas: revoked everywhere within a second, and two tenants' rooms of one
//! name kept apart at LiveKit.

use std::time::Duration;

use reqwest::Method as Verb;
use serde_json::{Value, json};

use crate::standin::{Kind, WorkerBehaviour};
use crate::support::eventually;
use crate::support::replica::{AGENT, House, ROOM};
use crate::support::stage::client;

/// What the key opens at most after it was revoked, with what the machine needs on top.
const REVOKED_MAX: Duration = Duration::from_secs(1);

async fn make_key(house: &House, body: Value) -> (String, String) {
    let made = house.call(Verb::POST, "/v1/keys", Some(body)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let text = |field: &str| made.body[field].as_str().expect("a text").to_owned();
    (text("secret"), text("id"))
}

async fn as_holder(key: &str, verb: Verb, url: String, body: Option<Value>) -> (u16, Value) {
    let request = client().request(verb, url).bearer_auth(key);
    let request = if let Some(body) = body { request.json(&body) } else { request };
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_opens_no_replica_after_a_second() {
    let house = House::start().await;
    let (key, id) = make_key(&house, json!({"name": "web", "scopes": ["read"]})).await;
    let ask = async |replica| as_holder(&key, Verb::GET, house.url(replica, "/v1/dispatches"), None).await.0;
    for replica in [0, 1] {
        assert_eq!(ask(replica).await, 200);
    }
    let revoked = house.call(Verb::DELETE, &format!("/v1/keys/{id}"), None).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let at = std::time::Instant::now();
    // Busy callers, so that the replicas have it in their caches until the last moment.
    let mut last_taken = [Duration::ZERO; 2];
    while at.elapsed() < REVOKED_MAX + Duration::from_millis(500) {
        for replica in [0, 1] {
            let asked = at.elapsed();
            if ask(replica).await == 200 {
                last_taken[replica] = asked;
            }
        }
    }
    assert!(last_taken.iter().all(|at| *at < REVOKED_MAX), "{last_taken:?}");
    for replica in [0, 1] {
        assert_eq!(ask(replica).await, 401);
    }
    let again = house.call(Verb::DELETE, &format!("/v1/keys/{id}"), None).await;
    assert_eq!((again.status, &again.body), (200, &revoked.body), "a second time changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_of_one_name_are_two_rooms_at_livekit_each_with_its_agent() {
    let house = House::start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    let (key, _) = make_key(&house, json!({"name": "acme", "scopes": ["dispatch"], "tenant": "acme"})).await;
    let own = house.acquire(ROOM).await;
    let body = Some(json!({"room": ROOM, "agent": AGENT}));
    let (status, theirs) = as_holder(&key, Verb::POST, house.url(0, "/v1/dispatches"), body).await;
    assert_eq!(status, 201, "{theirs}");
    assert_ne!(theirs["id"], own.id.as_str());
    let at_livekit = format!("acme::{ROOM}");
    assert_eq!((house.standin.created(ROOM, AGENT), house.standin.created(&at_livekit, AGENT)), (1, 1));

    // Webhooks lead back to the tenant's room: a person there is one for it alone.
    let sid = house.standin.person_joins(&at_livekit, "ann", Kind::Standard);
    let url = house.url(1, &format!("/v1/dispatches/{}", theirs["id"].as_str().expect("an id")));
    eventually("the person is known", async || {
        let (_, now) = as_holder(&key, Verb::GET, url.clone(), None).await;
        (now["participant_count"] == 1).then_some(())
    })
    .await;
    assert_eq!(house.dispatch(ROOM).await.expect("a dispatch")["participant_count"], 0);
    house.standin.person_leaves(&at_livekit, &sid);

    // A page with LiveKit's own token of the room reaches it, and no other.
    let token = house.token(&json!({"roomJoin": true, "room": at_livekit}));
    let page = async |room: &str| {
        let url = house.url(0, &format!("/api/livekit/agent-status?roomName={room}"));
        as_holder(&token, Verb::GET, url, None).await
    };
    let seen = page(&at_livekit).await;
    assert_eq!((seen.0, &seen.1["dispatchId"]), (200, &theirs["id"]));
    assert_eq!(page(ROOM).await.0, 403);
    assert_eq!(as_holder(&token, Verb::GET, house.url(0, "/v1/dispatches"), None).await.0, 401);
    let admin = house.token(&json!({"roomAdmin": true, "room": at_livekit}));
    let url = house.url(0, &format!("/api/livekit/agent-status?roomName={at_livekit}"));
    assert_eq!(as_holder(&admin, Verb::GET, url.clone(), None).await.0, 401);

    // The end of one leaves the other alone.
    let ended = as_holder(&key, Verb::DELETE, house.url(0, &format!("/v1/dispatches?room={ROOM}")), None).await;
    assert_eq!(ended.0, 200, "{ended:?}");
    assert!(house.standin.dispatches(&at_livekit, AGENT).is_empty());
    assert_eq!(house.standin.dispatches(ROOM, AGENT).len(), 1);
}
