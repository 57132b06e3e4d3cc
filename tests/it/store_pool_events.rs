//! What the stream of a shard tells of pools: each step of a worker, each change of a lease, and what somebody waits to hear.

use std::collections::BTreeMap;
use std::time::Duration;

use greenroom::pool::{Assignment, AssignmentParts, ObservedState, PoolSettings, Wish};

use crate::support::pool_scene::{PoolScene, wish, wish_of_key};

type Event = BTreeMap<String, String>;

/// What was told since the last time, in its order.
async fn events(pool: &PoolScene) -> Vec<Event> {
    let key = pool.shard().events();
    let told: Vec<(String, Event)> = pool.scene.run(&["XRANGE", &key, "-", "+"]).await;
    pool.scene.run::<u64>(&["XTRIM", &key, "MAXLEN", "0"]).await;
    told.into_iter().map(|(_, event)| event).collect()
}

/// `kind state reason event` of each.
fn lines(events: &[Event], kind: &str) -> Vec<String> {
    let of_kind = events.iter().filter(|event| event["kind"] == kind);
    of_kind.map(|it| format!("{} {} {}", it["state"], it["reason"], it["event"]).trim_end().to_owned()).collect()
}

fn settings() -> PoolSettings {
    PoolSettings { foresee: false, ..PoolSettings::default() }
}

#[tokio::test]
async fn a_session_is_told_as_created_and_closed_and_nothing_confidential_with_it() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    assert_eq!(lines(&events(&pool).await, "worker"), ["initializing planned", "ready started"]);
    let environment = [("KEY".to_owned(), "a-secret".to_owned())].into();
    let parts = AssignmentParts { environment, metadata: "confidential".to_owned() };
    let asked = pool.ask(&Wish { assignment: Assignment::new(&parts), ..wish_of_key("anna") }).await;
    pool.round(&mut runner).await;
    let held = pool.held(asked.id).await;
    pool.release(&held).await.expect("a release");
    pool.ask(&wish_of_key("anna")).await;
    pool.pass(&mut runner, Duration::from_mins(1)).await;
    pool.pass(&mut runner, Duration::from_mins(10)).await;
    pool.settle(&mut runner).await;
    let told = events(&pool).await;
    assert_eq!(
        lines(&told, "lease"),
        [
            "offered",
            "held  session_created",
            "idle released",
            "held reused",
            "idle lapsed",
            "ended idle session_closed"
        ]
    );
    assert_eq!(lines(&told, "worker"), ["busy allocated", "resetting idle", "ready reset_proved"]);
    let fields = ["at", "event", "id", "kind", "pool", "reason", "session", "state", "worker"];
    let token = held.token.expect("a token").to_string();
    for event in &told {
        assert_eq!(event.keys().map(String::as_str).collect::<Vec<_>>(), fields);
        let values: Vec<&String> = event.iter().filter(|(field, _)| *field != "at").map(|(_, value)| value).collect();
        let text = format!("{values:?}");
        assert!(!text.contains("a-secret") && !text.contains("confidential") && !text.contains(&token), "{text}");
        let session = if event["kind"] == "lease" { "key:anna" } else { "" };
        assert_eq!((event["pool"].as_str(), event["session"].as_str()), ("default:py", session));
    }
}

#[tokio::test]
async fn what_goes_wrong_with_a_session_or_a_worker_is_told_as_an_error() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    // Its worker dies.
    let held = pool.lease(&mut runner, Some("anna")).await;
    events(&pool).await;
    runner.tell(held.worker.expect("a worker"), |it| it.state = ObservedState::Gone);
    pool.sync(&mut runner).await;
    let told = events(&pool).await;
    assert_eq!(lines(&told, "lease"), ["ended worker_lost session_error"]);
    assert_eq!(lines(&told, "worker"), ["terminated crashed worker_error"]);
    // The next one does not start, the one after it does not forget.
    pool.plan().await;
    for instruction in pool.sync(&mut runner).await {
        runner.tell(instruction.worker.parse().expect("an id"), |it| it.state = ObservedState::Gone);
    }
    pool.sync(&mut runner).await;
    assert_eq!(lines(&events(&pool).await, "worker"), ["initializing planned", "terminated start_failed worker_error"]);
    pool.scene.pass(Duration::from_secs(2));
    pool.settle(&mut runner).await;
    let held = pool.lease(&mut runner, None).await;
    pool.release(&held).await.expect("a release");
    let (worker, token) = (held.worker.expect("a worker"), pool.sync(&mut runner).await[0].token);
    runner.tell(worker, |it| (it.state, it.instruction, it.done) = (ObservedState::Ready, Some(token), false));
    pool.sync(&mut runner).await;
    let told = lines(&events(&pool).await, "worker");
    assert_eq!(told.last().map(String::as_str), Some("terminating reset_failed worker_error"), "{told:?}");
}

/// Two steps within one call are two entries.
#[tokio::test]
async fn each_step_of_a_worker_is_one_entry() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let held = pool.lease(&mut runner, None).await;
    let waits = pool.ask(&Wish { wait: Duration::from_mins(5), ..wish(None) }).await;
    pool.release(&held).await.expect("a release");
    let told = pool.sync(&mut runner).await;
    runner.obey(&told);
    events(&pool).await;
    pool.sync(&mut runner).await;
    let told = events(&pool).await;
    assert_eq!(lines(&told, "worker"), ["ready reset_proved", "busy allocated"]);
    assert_eq!(lines(&told, "lease"), ["offered"]);
    let worker = pool.worker(held.worker.expect("a worker")).await;
    let past: Vec<_> = worker.history.iter().map(|step| format!("{} {}", step.state.as_str(), step.reason)).collect();
    assert_eq!(past[..2], ["busy allocated", "ready reset_proved"]);
    assert_eq!(told[0]["id"], worker.id.to_string());
    assert_eq!(told[2]["id"], waits.id.to_string());
    // Who gives up before it has its worker had no session: none is told as closed.
    pool.scene.store.release_lease(&pool.pool.tenant, (waits.id, None), None).await.expect("an answer");
    assert_eq!(lines(&events(&pool).await, "lease"), ["ended released"]);
}
