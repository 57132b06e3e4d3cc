//! Locks over REST: who may have them, what is answered, and what is nobody's business.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{KEY, Running, Setup, assert_problem, start};

async fn post(running: &Running, key: &str, path: &str, body: Value) -> reqwest::Response {
    let request = running.bare("POST", &format!("/v1/locks/{path}")).bearer_auth(key).json(&body);
    request.send().await.expect("an answer")
}

async fn acquire(running: &Running, path: &str, owner: &str) -> Value {
    let answer = post(running, KEY, path, json!({"owner": owner, "ttl_seconds": 60})).await;
    assert_eq!(answer.status(), 200);
    answer.json().await.expect("a lock")
}

#[tokio::test]
async fn a_lock_is_taken_kept_shown_and_given_back() {
    let running = start(Setup::default()).await;
    let free = running.call("GET", "/v1/locks/nightly").send().await.unwrap();
    assert_problem(free, 404, "lock_not_held").await;
    let ann = acquire(&running, "nightly/acquire", "ann").await;
    assert_eq!((&ann["name"], &ann["owner"]), (&json!("nightly"), &json!("ann")));
    assert!(ann["held_since"].as_str() < ann["expires_at"].as_str(), "{ann}");
    assert_eq!(acquire(&running, "nightly/acquire", "ann").await["token"], ann["token"], "asked again, one grant");

    let busy = post(&running, KEY, "nightly/acquire", json!({"owner": "bob", "ttl_seconds": 5})).await;
    let busy = assert_problem(busy, 409, "lock_held").await;
    assert!(busy["detail"].as_str().unwrap().contains("ann"), "{busy}");
    assert!((58..=60).contains(&busy["retry_after_seconds"].as_u64().unwrap()), "{busy}");

    let token = ann["token"].as_u64().unwrap();
    for (owner, token) in [("bob", token), ("ann", token - 1), ("ann", token + 1)] {
        let body = json!({"owner": owner, "token": token, "ttl_seconds": 5});
        assert_problem(post(&running, KEY, "nightly/renew", body).await, 409, "lease_lost").await;
        let body = json!({"owner": owner, "token": token});
        assert_problem(post(&running, KEY, "nightly/release", body).await, 409, "lease_lost").await;
    }
    let body = json!({"owner": "ann", "token": token, "ttl_seconds": 600});
    let kept: Value = post(&running, KEY, "nightly/renew", body).await.json().await.unwrap();
    let shown: Value = running.call("GET", "/v1/locks/nightly").send().await.unwrap().json().await.unwrap();
    assert_eq!((&kept, &kept["held_since"]), (&shown, &ann["held_since"]));
    assert!(kept["expires_at"].as_str() > ann["expires_at"].as_str(), "{kept}");

    for _ in 0..2 {
        let released = post(&running, KEY, "nightly/release", json!({"owner": "ann", "token": token})).await;
        assert_eq!((released.status().as_u16(), released.text().await.unwrap().as_str()), (204, ""));
    }
    let bob = acquire(&running, "nightly/acquire", "bob").await;
    assert!(bob["token"].as_u64().unwrap() > token, "{bob}");
    let late = post(&running, KEY, "nightly/release", json!({"owner": "ann", "token": token})).await;
    assert_problem(late, 409, "lease_lost").await;
}

#[tokio::test]
async fn a_lock_that_is_given_back_goes_to_who_waits() {
    let running = start(Setup::default()).await;
    let ann = acquire(&running, "nightly/acquire", "ann").await;
    let body = json!({"owner": "bob", "ttl_seconds": 5, "wait_seconds": 30});
    let waits = post(&running, KEY, "nightly/acquire", body);
    let gives = async {
        // Whoever comes first, the other's turn comes.
        tokio::task::yield_now().await;
        post(&running, KEY, "nightly/release", json!({"owner": "ann", "token": ann["token"]})).await
    };
    let (got, gave) = tokio::join!(waits, gives);
    assert_eq!((got.status().as_u16(), gave.status().as_u16()), (200, 204));
    let body = json!({"owner": "carl", "ttl_seconds": 5, "wait_seconds": 1});
    assert_problem(post(&running, KEY, "nightly/acquire", body).await, 409, "lock_held").await;
}

#[tokio::test]
async fn who_waits_for_a_lock_is_answered_when_the_replica_stops() {
    let running = start(Setup::default()).await;
    acquire(&running, "nightly/acquire", "ann").await;
    let body = json!({"owner": "bob", "ttl_seconds": 5, "wait_seconds": 30});
    let waits = post(&running, KEY, "nightly/acquire", body);
    let stops = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        running.shutdown.stopping().cancel();
    };
    let (busy, ()) = tokio::join!(waits, stops);
    assert_problem(busy, 409, "lock_held").await;
}

#[tokio::test]
async fn a_tenants_locks_are_its_own_and_greenrooms_are_nobodys() {
    let running = start(Setup::default()).await;
    let body = json!({"name": "k", "scopes": ["task"], "tenant": "acme"});
    let key: Value = running.call("POST", "/v1/keys").json(&body).send().await.unwrap().json().await.unwrap();
    let acme = key["secret"].as_str().unwrap();
    acquire(&running, "nightly/acquire", "ann").await;
    let unseen = running.bare("GET", "/v1/locks/nightly").bearer_auth(acme).send().await.unwrap();
    assert_problem(unseen, 404, "lock_not_held").await;
    let own = post(&running, acme, "nightly/acquire", json!({"owner": "bob", "ttl_seconds": 60})).await;
    assert_eq!(own.status(), 200, "another lock of the same name");

    // The leader's lock has a key of its own: no name leads to it.
    let campaign = running.redis.store().await.campaign("replica-1", Duration::from_mins(1)).await.unwrap();
    assert!(campaign.leads);
    acquire(&running, "leader/acquire", "ann").await;
    for name in ["%7B0%7D:leader", "..%2Fleader", "gr:%7B0%7D:leader", "leader%00"] {
        let refused = post(&running, KEY, &format!("{name}/acquire"), json!({"owner": "a", "ttl_seconds": 9})).await;
        assert_problem(refused, 422, "invalid_request").await;
    }
    let still = running.redis.store().await.campaign("replica-1", Duration::from_mins(1)).await.unwrap();
    assert_eq!((still.leads, still.term), (true, campaign.term));
    assert_eq!(running.redis.run::<String>(&["HGET", "gr:{0}:leader", "owner"]).await, "replica-1");
}
