//! What fails around a runner: its workers, its server, itself. Sessions go on, and nothing is left over.

use serde_json::{Value, json};

use crate::runner_desk::{Mood, Rig, ask, bad, echo};
use crate::support::eventually;
use crate::support::process::is_running;

const WORKER: &str = "wrk_3_a";

fn pid(report: &Value) -> u32 {
    report["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a pid")
}

async fn none_is_left(rig: &Rig) {
    eventually("no process is left", async || rig.labelled().is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_is_told_with_the_session_that_it_had() {
    let rig = Rig::start(bad("crashes")).await;
    rig.ready(WORKER).await;
    let from = rig.calls();
    let assignment = json!({"lease": "lse_a", "session": "a"});
    rig.wish(WORKER, json!({"action": "assign", "instruction": 7, "within_ms": 15_000, "assignment": assignment}));
    let gone = rig.until_state(WORKER, from, "gone").await;
    assert_eq!((&gone["lease"], &gone["session"]), (&json!("lse_a"), &json!("a")), "{gone}");
    assert_eq!(gone["detail"], "ended with signal: 9 (SIGKILL)");
    eventually("it is told once", async || rig.report(WORKER).is_none().then_some(())).await;
    none_is_left(&rig).await;
    // The next is another worker.
    rig.ready("wrk_3_b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_frame_ends_the_worker_that_says_it() {
    for (way, why) in [
        ("garbage", "a frame that is no message"),
        ("oversized", "a frame of 1048577 bytes, more than 1048576"),
        ("prints", "a frame of 1629514857 bytes, more than 1048576"),
    ] {
        let rig = Rig::start(bad(way)).await;
        rig.ready(WORKER).await;
        rig.assign(WORKER, "a").await;
        let gone = rig.until_state(WORKER, 0, "gone").await;
        assert_eq!(gone["detail"], why, "{way}");
        none_is_left(&rig).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_never_ready_is_ended_and_the_next_ones_start_more_and_more_slowly() {
    let rig = Rig::start(bad("never-ready")).await;
    let run = json!({"action": "run", "instruction": 5, "within_ms": 300});
    for worker in ["wrk_3_a", "wrk_3_b", "wrk_3_c"] {
        rig.wish(worker, run.clone());
        let gone = rig.until_state(worker, 0, "gone").await;
        assert_eq!(
            (&gone["detail"], &gone["instruction"], &gone["done"]),
            (&json!("not ready in time"), &json!(5), &json!(false))
        );
    }
    none_is_left(&rig).await;
    let logged = rig.runner.logged();
    let pauses =
        logged.lines().filter_map(|line| line.split_once("pause_ms=")?.1.split(' ').next()?.parse::<u64>().ok());
    let pauses: Vec<_> = pauses.collect();
    assert_eq!(pauses.len(), 3, "{logged}");
    assert!(pauses[2] > pauses[0], "{pauses:?}");

    for (way, why) in
        [("exits", "ended with exit status: 3"), ("other-protocol", "speaks another version of the protocol")]
    {
        let rig = Rig::start(bad(way)).await;
        rig.wish(WORKER, json!({"action": "run"}));
        assert_eq!(rig.until_state(WORKER, 0, "gone").await["detail"], why);
    }
    let rig = Rig::start(vec!["/nowhere/worker".to_owned()]).await;
    rig.wish(WORKER, json!({"action": "run"}));
    assert_eq!(rig.until_state(WORKER, 0, "gone").await["detail"], "ended with exit status: 127");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_is_killed_takes_its_workers_along_and_the_next_one_what_they_had_started() {
    let mut rig = Rig::start(bad("family")).await;
    let workers = [pid(&rig.ready("wrk_3_a").await), pid(&rig.ready("wrk_3_b").await)];
    assert_eq!(rig.labelled().len(), 4, "two workers, each with a child that went its own way");
    assert_eq!(rig.assign("wrk_3_a", "a").await["done"], true);
    rig.runner.kill();
    eventually("the workers are gone", async || workers.iter().all(|pid| !is_running(*pid)).then_some(())).await;
    rig.forget("wrk_3_a");
    rig.forget("wrk_3_b");
    let from = rig.calls();
    rig.start_again(&[]);
    eventually("the next runner calls", async || (rig.calls() > from).then_some(())).await;
    assert_eq!(rig.labelled(), Vec::<u32>::new(), "what was left is ended before the first call");
    let boots: std::collections::BTreeSet<_> = rig.told_since(0).iter().map(|call| call["boot"].to_string()).collect();
    assert_eq!(boots.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_whose_name_is_taken_does_not_start() {
    let mut rig = Rig::start(bad("honest")).await;
    let pid = pid(&rig.ready(WORKER).await);
    let first = std::mem::replace(
        &mut rig.runner,
        crate::support::process::Process::start("none", std::process::Command::new("true"), rig.dir.path()),
    );
    rig.start_again(&[]);
    assert_eq!(rig.runner.ended().await.code(), Some(1));
    assert!(rig.runner.logged().contains("is at work in"), "{}", rig.runner.logged());
    assert!(is_running(pid), "and touches nothing");
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_on_while_the_server_is_away() {
    let rig = Rig::start(echo()).await;
    let endpoint = rig.ready(WORKER).await["endpoint"].as_str().expect("an address").to_owned();
    rig.ready("wrk_3_b").await;
    rig.assign(WORKER, "a").await;
    ask(&endpoint, "/say", Some(json!({"text": "a phrase"}))).await;
    for mood in [Mood::Refusing(503), Mood::Proxy, Mood::Refusing(500), Mood::Refusing(401)] {
        rig.mood(mood);
        let from = rig.calls();
        eventually("it calls again", async || (rig.calls() >= from + 2).then_some(())).await;
        let recalled = ask(&endpoint, "/recall?phrase=a%20phrase", None).await;
        assert_eq!(recalled["known_by"].as_array().map(Vec::len), Some(8), "{mood:?}");
        assert_eq!(rig.report("wrk_3_b").expect("a report")["state"], "ready", "{mood:?}");
        if mood == Mood::Refusing(401) {
            assert!(rig.runner.logged().contains("the server refuses this runner"));
        }
    }
    rig.mood(Mood::Well);
    let from = rig.calls();
    let busy = rig.until_state(WORKER, from, "busy").await;
    assert_eq!((&busy["session"], &busy["lease"]), (&json!("a"), &json!("lse_a")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_runner_tells_is_numbered_and_a_runner_that_was_replaced_keeps_its_sessions_and_says_so() {
    let rig = Rig::start(bad("honest")).await;
    let pid = pid(&rig.ready(WORKER).await);
    rig.assign(WORKER, "a").await;
    rig.mood(Mood::Overtaken);
    let from = rig.calls();
    eventually("it calls again", async || (rig.calls() >= from + 2).then_some(())).await;
    eventually("it says so", async || rig.runner.logged().contains("another runner of this name").then_some(())).await;
    assert!(is_running(pid));
    rig.mood(Mood::Well);
    let from = rig.calls();
    assert_eq!(rig.until_state(WORKER, from, "busy").await["lease"], "lse_a");
    // Each has a number of its own, those that were given up or refused too.
    let numbers: Vec<_> = rig.told_since(0).iter().map(|call| call["report"].as_u64().expect("a number")).collect();
    let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
    assert!(numbers[0] == 1 && distinct.len() == numbers.len(), "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_store_decides_nothing_before_it_was_told_everything() {
    let rig = Rig::start(bad("honest")).await;
    rig.ready(WORKER).await;
    rig.ready("wrk_3_b").await;
    rig.assign(WORKER, "a").await;
    let from = rig.calls();
    // It knows of no worker: taken at its word, both would be stopped.
    rig.empty_store("store-2");
    let told =
        eventually("it is told", async || rig.told_since(from).into_iter().find(|call| call["store"] == "store-2"))
            .await;
    assert!(told["revision"].is_null(), "the revision is another store's: {told}");
    let busy = told["workers"].as_array().expect("a list").iter().find(|report| report["id"] == WORKER).expect("it");
    let has = [&busy["state"], &busy["lease"], &busy["session"], &busy["instruction"]];
    assert!(has[0] == "busy" && has[1] == "lse_a" && has[2] == "a" && has[3].is_u64(), "{busy}");
    // Only the answer to that decides, and may have by now; the desk still knows nothing of them.
    rig.until_state(WORKER, from, "gone").await;
    rig.until_state("wrk_3_b", from, "gone").await;
    let calls = rig.told_since(from);
    let told = calls.iter().position(|call| call["store"] == "store-2").expect("it was told");
    let stops = |call: &Value| call["workers"].to_string().contains("stopping");
    assert!(!calls[..=told].iter().any(stops), "nothing is stopped before that");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_new_store_keeps_goes_on() {
    let rig = Rig::start(bad("honest")).await;
    let pid = pid(&rig.ready(WORKER).await);
    rig.assign(WORKER, "a").await;
    let from = rig.calls();
    rig.empty_store("store-2");
    rig.wish(WORKER, json!({"action": "keep"}));
    eventually("two calls to it", async || {
        let calls = rig.told_since(from);
        (calls.iter().filter(|call| call["store"] == "store-2").count() >= 2).then_some(())
    })
    .await;
    assert!(is_running(pid));
    assert_eq!(rig.report(WORKER).expect("a report")["state"], "busy");
    assert_eq!(rig.reset(WORKER, "soft").await["done"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_stop_it_waits_for_sessions_and_ends_the_others() {
    let mut rig = Rig::start(bad("honest")).await;
    let pid = pid(&rig.ready(WORKER).await);
    rig.ready("wrk_3_b").await;
    rig.assign(WORKER, "a").await;
    let from = rig.calls();
    rig.runner.signal("TERM");
    let told =
        eventually("it says so", async || rig.told_since(from).into_iter().find(|call| call["draining"] == true)).await;
    assert_eq!(told["workers"].as_array().map(Vec::len), Some(2), "nothing was stopped of its own accord");
    rig.stop("wrk_3_b").await;
    // Nothing is started any more.
    rig.wish("wrk_3_c", json!({"action": "run"}));
    assert_eq!(rig.until_state("wrk_3_c", from, "gone").await["detail"], "the runner drains");
    assert!(is_running(pid) && !rig.runner.has_ended());
    assert_eq!(rig.reset(WORKER, "soft").await["done"], true);
    rig.wish(WORKER, json!({"action": "stop"}));
    assert_eq!(rig.runner.ended().await.code(), Some(0));
    let last = rig.told_since(0).pop().expect("a call");
    let states: Vec<_> =
        last["workers"].as_array().expect("a list").iter().map(|report| report["state"].clone()).collect();
    assert!(states.iter().all(|state| state == "gone"), "the last call says that nothing is left: {last}");
    none_is_left(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_has_an_end_and_asked_twice_it_ends_at_once() {
    let mut rig = Rig::start_with(bad("stays"), &["--drain-seconds", "1"]).await;
    rig.ready(WORKER).await;
    rig.assign(WORKER, "a").await;
    rig.runner.signal("TERM");
    let gone = rig.until_state(WORKER, 0, "gone").await;
    assert!(gone["session"] == "a" && gone["detail"].is_null(), "{gone}");
    assert_eq!(rig.runner.ended().await.code(), Some(0));

    let mut rig = Rig::start(bad("stays-for-ever")).await;
    rig.ready(WORKER).await;
    rig.assign(WORKER, "a").await;
    rig.runner.signal("TERM");
    eventually("it drains", async || rig.told_since(0).iter().any(|call| call["draining"] == true).then_some(())).await;
    // Nobody answers any more: it ends all the same.
    rig.mood(Mood::Refusing(503));
    rig.runner.signal("TERM");
    assert_eq!(rig.runner.ended().await.code(), Some(0));
    none_is_left(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_is_given_up_for_news_and_lasts_without() {
    let rig = Rig::start(bad("honest")).await;
    rig.ready(WORKER).await;
    let from = rig.calls();
    eventually("two long polls", async || {
        let polls = rig.told_since(from).iter().filter(|call| call["wait_seconds"].as_u64() > Some(0)).count();
        (polls >= 2).then_some(())
    })
    .await;
    // None is to last longer than the server wants to go without hearing of it.
    let waits = rig.told_since(from).into_iter().filter_map(|call| call["wait_seconds"].as_u64()).max();
    assert_eq!(waits, Some(2));
    // A worker that dies amid one is told at once: not with the next heartbeat, but before it.
    let pid = rig.report(WORKER).map(|report| pid(&report)).expect("a pid");
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill");
    assert!(killed.success());
    rig.until_state(WORKER, from, "gone").await;
    let calls = rig.told_since(from);
    let gone = calls.iter().find(|call| call["workers"].to_string().contains("gone")).expect("it was told");
    assert_eq!(gone["wait_seconds"], 0);
}
