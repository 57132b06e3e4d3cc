//! A reset counts only where it is proved: whatever is short of that is told as not done.

use serde_json::{Value, json};

use crate::runner_desk::{Rig, bad};

const WORKER: &str = "wrk_3_a";

/// Gives a worker of that kind a session and has it forget; how that was told.
async fn reset_of(way: &str, within_ms: u64) -> (Rig, Value) {
    let rig = Rig::start(bad(way)).await;
    rig.ready(WORKER).await;
    assert_eq!(rig.assign(WORKER, "a").await["done"], true);
    let reset = rig.instruct(WORKER, json!({"action": "reset", "reset": "soft", "within_ms": within_ms})).await;
    (rig, reset)
}

/// Fails unless the reset was refused for that reason, and the worker gets no session after it.
async fn assert_caught(way: &str, why: &str) {
    let (rig, reset) = reset_of(way, 15_000).await;
    assert_eq!((&reset["state"], &reset["done"]), (&json!("resetting"), &json!(false)), "{way}: {reset}");
    assert_eq!(reset["detail"], why, "{way}");
    assert_eq!(reset["lease"], "lse_a", "what it serves is told until it is clean");
    let next = rig.assign(WORKER, "b").await;
    assert_eq!((&next["done"], &next["session"]), (&json!(false), &json!("a")), "{way}: {next}");
    // Another process in its place is clean.
    let restarted = rig.reset(WORKER, "restart").await;
    assert_eq!((&restarted["state"], &restarted["done"]), (&json!("ready"), &json!(true)), "{way}: {restarted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_worker_is_believed() {
    let (rig, reset) = reset_of("honest", 15_000).await;
    assert_eq!((&reset["state"], &reset["done"]), (&json!("ready"), &json!(true)), "{reset}");
    assert_eq!(rig.stop(WORKER).await["state"], "gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_says_all_is_clear_is_caught_by_the_canary() {
    assert_caught("lies", "still held by: memory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_is_not_cleared_or_not_named_is_not_clear() {
    assert_caught("keeps-audio", "not cleared: audio").await;
    assert_caught("forgets-an-item", "not cleared: memory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_left_behind_is_found() {
    assert_caught("leaves-file", "left behind: files in its directory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_left_behind_with_the_sessions_variables_is_found() {
    assert_caught("leaves-child", "left behind: a process").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_took_the_sessions_variables_is_found() {
    assert_caught("becomes-another", "left behind: a variable of a process").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_that_takes_too_long_is_not_done() {
    let (rig, reset) = reset_of("slow-reset", 300).await;
    assert_eq!((&reset["state"], &reset["done"]), (&json!("resetting"), &json!(false)), "{reset}");
    assert_eq!(reset["detail"], "the reset took too long");
    assert_eq!(rig.stop(WORKER).await["state"], "gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_refused_or_not_taken_in_time_is_told() {
    let rig = Rig::start(bad("refuses")).await;
    rig.ready(WORKER).await;
    let refused = rig.assign(WORKER, "a").await;
    assert_eq!((&refused["done"], &refused["detail"]), (&json!(false), &json!("not today")), "{refused}");
    assert!(refused["session"].is_null() && refused["state"] == "resetting", "{refused}");
    // It has seen the session's secrets: it gets no other before it is clean.
    assert_eq!(rig.assign(WORKER, "b").await["detail"], "it is not clean and ready");
    assert_eq!(rig.reset(WORKER, "soft").await["done"], true);

    let rig = Rig::start(bad("deaf")).await;
    rig.ready(WORKER).await;
    let assignment = json!({"lease": "lse_a", "session": "a", "environment": {}});
    let late = json!({"action": "assign", "within_ms": 300, "assignment": assignment});
    assert_eq!(rig.instruct(WORKER, late).await["done"], false);
    let gone = rig.until_state(WORKER, 0, "gone").await;
    assert_eq!(gone["detail"], "did not take a session in time", "nobody knows what it has taken");
}
