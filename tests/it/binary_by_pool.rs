//! Rooms whose agents are workers of a pool, with everything real: a replica, a runner, workers. Where LiveKit has the
//! rooms, that is the stand-in.

use serde_json::{Value, json};

use crate::runner_desk::{ask, demo, echo};
use crate::standin::{Fault, Method, Standin, Timings};
use crate::support::eventually;
use crate::support::yard::Yard;

const TRIGGER: &str = "/api/v1/trigger";

fn wish(room: &str) -> Value {
    json!({"client": "default", "agent": "echo", "room": room, "metadata": format!("metadata-of-{room}")})
}

fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().unwrap_or_else(|| panic!("{field} in {answer}"))
}

/// Whether the worker knows the phrase.
async fn knows(answer: &Value, phrase: &str) -> bool {
    let known = ask(text(answer, "endpoint"), &format!("/recall?phrase={phrase}"), None).await;
    known["known_by"].as_array().is_some_and(|items| !items.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_served_by_one_worker_of_its_pool_until_it_ends() {
    let mut yard = Yard::start_with(1, [], json!({"spare": 2, "max": 2})).await;
    yard.add_runner(&echo(), 4);
    yard.until_ready(2).await;
    let (status, first) = yard.post(TRIGGER, wish("lobby")).await;
    assert_eq!((status, &first["success"], &first["reused"]), (200, &json!(true), &json!(false)), "{first}");
    for told in ["metadata-of-lobby", text(&first, "dispatchId"), "lobby"] {
        assert!(knows(&first, told).await, "{told}");
    }
    let (status, again) = yard.post(TRIGGER, wish("lobby")).await;
    assert_eq!((status, &again["reused"]), (200, &json!(true)), "{again}");
    assert_eq!((&again["workerId"], &again["dispatchId"]), (&first["workerId"], &first["dispatchId"]));
    let (_, other) = yard.post(TRIGGER, wish("hall")).await;
    assert_ne!(other["workerId"], first["workerId"]);
    assert!(!knows(&other, "metadata-of-lobby").await);

    let dispatch = yard.get(&format!("/v1/dispatches/{}", text(&first, "dispatchId"))).await.expect("a dispatch");
    assert_eq!((&dispatch["provider"], &dispatch["provider_id"]), (&json!("pool"), &first["leaseId"]), "{dispatch}");
    for answer in [&first, &other] {
        assert!(yard.delete(&format!("/v1/dispatches/{}", text(answer, "dispatchId"))).await < 300);
    }
    let status = yard.until_ready(2).await;
    assert_eq!((&status["resets_proved"], &status["sessions_total"]), (&json!(2), &json!(2)), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_whose_worker_dies_is_given_another() {
    let more = [("GREENROOM_DISPATCH_PROVIDER", "pool"), ("CLEANUP_INTERVAL_MS", "1000")];
    let mut yard = Yard::start_with(1, more, json!({"spare": 1, "max": 3})).await;
    yard.add_runner(&echo(), 4);
    yard.until_ready(1).await;
    // Here pools are the service's own provider.
    let (status, dispatch) = yard.post("/v1/dispatches", json!({"room": "lobby", "agent": "echo"})).await;
    assert_eq!((status, &dispatch["provider"]), (201, &json!("pool")), "{dispatch}");
    let lease = yard.get(&format!("/v1/leases/{}", text(&dispatch, "provider_id"))).await.expect("a lease");
    let worker = yard.get(&format!("/v1/workers/{}", text(&lease, "worker"))).await.expect("a worker");
    let killed = std::process::Command::new("kill").args(["-9", &worker["pid"].to_string()]).status();
    assert!(killed.expect("kill").success());
    let path = format!("/v1/dispatches/{}", text(&dispatch, "id"));
    let served = eventually("another worker serves the room", async || {
        let now = yard.get(&path).await?;
        let lease = yard.get(&format!("/v1/leases/{}", now["provider_id"].as_str()?)).await?;
        (lease["worker"] != worker["id"] && lease["state"] == "held").then_some(lease)
    })
    .await;
    assert_eq!(served["session"], "lobby");
    assert!(yard.delete(&path).await < 300);
    eventually("no session has a worker", async || (yard.status().await?["leased"] == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_worker_hears_so_and_nothing_is_left_of_it() {
    let more = [
        ("GREENROOM_DISPATCH_CREATION_BUDGET_MS", "6000"),
        ("GREENROOM_DISPATCH_CREATION_BACKOFF_MS", "100"),
        ("GREENROOM_LIVEKIT_CALL_TIMEOUT_MS", "1500"),
        ("GREENROOM_LIVEKIT_CALL_TIMEOUT_MS_MIN", "1000"),
    ];
    let mut yard = Yard::start_with(1, more, json!({"spare": 1, "max": 1})).await;
    let unknown = json!({"client": "default", "agent": "nobody", "room": "lobby"});
    assert_eq!(yard.post(TRIGGER, unknown).await.0, 404);
    yard.add_runner(&echo(), 4);
    yard.until_ready(1).await;
    let (status, first) = yard.post(TRIGGER, wish("lobby")).await;
    assert_eq!(status, 200, "{first}");
    let (status, refused) = yard.post(TRIGGER, wish("hall")).await;
    assert_eq!((status, &refused["success"]), (429, &json!(false)), "{refused}");
    assert!(yard.delete(&format!("/v1/dispatches/{}", text(&first, "dispatchId"))).await < 300);
    let status = yard.until_ready(1).await;
    assert_eq!((&status["waiting"], &status["sessions_total"]), (&json!(0), &json!(1)), "{status}");
    let (status, second) = eventually("the refusal is no longer held", async || {
        let answer = yard.post(TRIGGER, wish("hall")).await;
        (answer.0 == 200).then_some(answer)
    })
    .await;
    assert_eq!((status, &second["reused"]), (200, &json!(false)), "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_keeps_its_worker_while_nobody_can_look_into_it() {
    let livekit = Standin::start(Timings::fast()).await.expect("a stand-in");
    let more = [
        ("LIVEKIT_URL", livekit.url()),
        ("LIVEKIT_API_KEY", livekit.api_key()),
        ("LIVEKIT_API_SECRET", livekit.api_secret()),
        ("GREENROOM_DISPATCH_PROVIDER", "pool"),
        ("CLEANUP_INTERVAL_MS", "1000"),
        ("GREENROOM_BREAKER_FAILURES_MAX", "1"),
        ("GREENROOM_BREAKER_OPEN_MS", "1000"),
        ("GREENROOM_BREAKER_OPEN_MS_MAX", "1000"),
    ];
    let mut yard = Yard::start_with(1, more, json!({"spare": 1, "max": 1})).await;
    yard.add_runner(&demo(), 1);
    yard.until_ready(1).await;
    let (status, dispatch) = yard.post("/v1/dispatches", json!({"room": "lobby", "agent": "echo"})).await;
    assert_eq!(status, 201, "{dispatch}");
    let lease = format!("/v1/leases/{}", text(&dispatch, "provider_id"));
    let kept = async |since: String| {
        eventually("its lease lasts for longer", async || {
            let expires = yard.get(&lease).await?["expires_at"].as_str()?.to_owned();
            (expires > since).then_some(expires)
        })
        .await
    };
    kept(kept(String::new()).await).await;
    // A look fails; then the breaker lets none be made.
    for method in Method::ALL {
        livekit.faults().set(method, Fault::unreachable());
    }
    let open = async || (yard.get("/v1/breakers/pool.look").await?["state"] == "open").then_some(());
    eventually("the breaker of looks opens", open).await;
    let expires = kept(String::new()).await;
    kept(kept(expires).await).await;
}
