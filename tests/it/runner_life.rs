//! The real runner with the real Python worker: started, given sessions, reset, ended.

use serde_json::{Value, json};

use crate::runner_desk::{Rig, ask, bad, echo, name, variables};
use crate::support::eventually;
use crate::support::process::is_running;

const WORKER: &str = "wrk_3_a";

fn pid(report: &Value) -> u32 {
    report["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a pid")
}

fn endpoint(report: &Value) -> String {
    report["endpoint"].as_str().expect("an address").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_sessions_of_one_worker_know_nothing_of_each_other() {
    let rig = Rig::start(echo()).await;
    let ready = rig.ready(WORKER).await;
    let (pid, endpoint) = (pid(&ready), endpoint(&ready));
    assert!(ready["memory_bytes"].as_u64().expect("a number") > 1 << 20, "{ready}");
    for session in 0..10 {
        let busy = rig.assign(WORKER, &format!("s{session}")).await;
        assert_eq!((&busy["state"], &busy["done"]), (&json!("busy"), &json!(true)), "{busy}");
        assert_eq!(
            (&busy["session"], &busy["lease"]),
            (&json!(format!("s{session}")), &json!(format!("lse_s{session}")))
        );
        for earlier in 0..session {
            for phrase in
                [format!("phrase-{earlier}-"), format!("secret-of-s{earlier}"), format!("metadata-of-s{earlier}")]
            {
                let recalled = ask(&endpoint, &format!("/recall?phrase={phrase}"), None).await;
                assert_eq!(recalled["known_by"], json!([]), "{phrase} in session {session}");
            }
        }
        let phrase = format!("phrase-{session}-");
        ask(&endpoint, "/say", Some(json!({"text": phrase}))).await;
        let recalled = ask(&endpoint, &format!("/recall?phrase={phrase}"), None).await;
        assert_eq!(recalled["known_by"].as_array().expect("a list").len(), 8, "it keeps everything: {recalled}");
        let secret = ask(&endpoint, &format!("/recall?phrase=secret-of-s{session}"), None).await;
        assert_eq!(secret["known_by"], json!(["environment", "os.environ"]));

        let reset = rig.reset(WORKER, "soft").await;
        assert_eq!((&reset["state"], &reset["done"]), (&json!("ready"), &json!(true)), "{reset}");
        assert!(reset["lease"].is_null() && reset["session"].is_null(), "{reset}");
        assert_eq!(reset["pid"], pid, "it is the same process");
    }
    let gone = rig.stop(WORKER).await;
    assert!(gone["detail"].is_null(), "it was to go: {gone}");
    assert!(!is_running(pid));
    let work = rig.dir.path().join("work").join(name(rig.dir.path())).join("workers");
    assert_eq!(std::fs::read_dir(work).expect("a directory").count(), 0, "its directory went with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_another_process_of_the_same_worker() {
    let rig = Rig::start(echo()).await;
    let first = rig.ready(WORKER).await;
    rig.assign(WORKER, "a").await;
    ask(&endpoint(&first), "/say", Some(json!({"text": "a phrase"}))).await;
    let second = rig.reset(WORKER, "restart").await;
    assert_eq!((&second["state"], &second["done"]), (&json!("ready"), &json!(true)), "{second}");
    assert_ne!(pid(&first), pid(&second));
    assert!(!is_running(pid(&first)));
    rig.assign(WORKER, "b").await;
    let recalled = ask(&endpoint(&second), "/recall?phrase=a%20phrase", None).await;
    assert_eq!(recalled["known_by"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_is_told_and_everything_to_who_does_not_know_the_rest() {
    let rig = Rig::start(echo()).await;
    let workers = ["wrk_3_a", "wrk_3_b", "wrk_3_c"];
    for worker in workers {
        rig.ready(worker).await;
    }
    let from = rig.calls();
    rig.assign(WORKER, "a").await;
    let is_told = |call: &Value| (call["news"] == 1 && call["since"].is_u64()).then(|| call["workers"][0].clone());
    let told: Vec<_> = rig.told_since(from).iter().filter_map(is_told).collect();
    assert!(told.iter().any(|report| report["id"] == WORKER && report["state"] == "busy"), "{told:?}");

    let from = rig.calls();
    rig.forget_reports();
    let whole =
        eventually("all is told", async || rig.told_since(from).into_iter().find(|call| call["news"] == 3)).await;
    assert!(whole["since"].is_null(), "{whole}");
    assert_eq!(rig.report(WORKER).expect("a report")["state"], "busy");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_of_all_stops_none_of_the_others() {
    let rig = Rig::start(echo()).await;
    let other = pid(&rig.ready("wrk_3_b").await);
    rig.answer_only_of(WORKER);
    rig.ready(WORKER).await;
    rig.assign(WORKER, "a").await;
    rig.reset(WORKER, "soft").await;
    assert!(is_running(other));
    assert_eq!(rig.report("wrk_3_b").expect("a report")["state"], "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instruction_that_is_listed_again_is_carried_out_once() {
    let rig = Rig::start(echo()).await;
    let endpoint = endpoint(&rig.ready(WORKER).await);
    let busy = rig.assign(WORKER, "a").await;
    ask(&endpoint, "/say", Some(json!({"text": "a phrase"}))).await;
    // The same assignment once more, as where the answer to the report was lost.
    let assignment = json!({"lease": "lse_a", "session": "a", "environment": {}, "metadata": ""});
    let again = json!({"action": "assign", "instruction": busy["instruction"], "assignment": assignment});
    let from = rig.calls();
    rig.wish(WORKER, again);
    eventually("it was told", async || (rig.calls() > from + 1).then_some(())).await;
    let report = rig.report(WORKER).expect("a report");
    assert_eq!((&report["state"], &report["done"]), (&json!("busy"), &json!(true)), "{report}");
    assert_eq!(ask(&endpoint, "/recall?phrase=a%20phrase", None).await["known_by"].as_array().map(Vec::len), Some(8));
    // Another one is refused: it has a session.
    let other = rig.assign(WORKER, "b").await;
    assert_eq!((&other["state"], &other["done"], &other["session"]), (&json!("busy"), &json!(false), &json!("a")));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_a_session_are_in_no_line_of_the_log() {
    let rig = Rig::start(bad("honest")).await;
    rig.ready(WORKER).await;
    rig.assign(WORKER, "a").await;
    // The worker writes all that it is told to its log, which is the runner's.
    eventually("the line", async || rig.runner.logged().contains("told").then_some(())).await;
    let logged = rig.runner.logged();
    for secret in ["secret-of-a", "metadata-of-a", "canary-", crate::runner_desk::KEY] {
        assert!(!logged.contains(secret), "{secret}: {logged}");
    }
    assert_eq!(rig.reset(WORKER, "soft").await["done"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_has_little_of_its_runners_environment() {
    let rig = Rig::start(bad("honest")).await;
    let variables = variables(pid(&rig.ready(WORKER).await));
    let mut names: Vec<_> = variables.iter().filter_map(|entry| Some(entry.split_once('=')?.0)).collect();
    names.sort_unstable();
    let wanted =
        ["GREENROOM_RUNNER", "GREENROOM_WORKER", "HOME", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "TMPDIR"];
    assert_eq!(names, wanted, "no key, and nothing that was not asked for");
    let own = rig.dir.path().join("work").join(name(rig.dir.path())).join("workers").join(format!("{WORKER}.1"));
    for name in ["HOME", "TMPDIR"] {
        assert!(variables.contains(&format!("{name}={}", own.display())), "{variables:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_worker_is_comes_from_its_own_mouth() {
    let rig = Rig::start_with(bad("unwell"), &["--health-seconds", "1"]).await;
    rig.ready(WORKER).await;
    let unwell = rig.until(WORKER, 0, "three failures", |report| report["failures"] == 3).await;
    assert_eq!(unwell["state"], "ready", "what follows from it is not for the runner to say");
    assert!(rig.runner.logged().contains("the model is gone"));

    let rig = Rig::start_with(bad("honest"), &["--health-seconds", "1"]).await;
    rig.ready(WORKER).await;
    let well = rig.until(WORKER, 0, "requests", |report| report["requests"].as_u64() >= Some(2)).await;
    assert_eq!(well["failures"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_listed_is_stopped_and_what_is_not_there_is_missed() {
    let rig = Rig::start_with(bad("honest"), &["--capacity", "2"]).await;
    let pids = [pid(&rig.ready(WORKER).await), pid(&rig.ready("wrk_3_b").await)];
    let from = rig.calls();
    rig.wish("wrk_3_c", json!({"action": "run"}));
    let full = rig.until_state("wrk_3_c", from, "gone").await;
    assert_eq!(full["detail"], "the runner is full");
    rig.wish("wrk_3_d", json!({"action": "keep"}));
    assert_eq!(rig.until_state("wrk_3_d", from, "gone").await["detail"], "the runner does not have it");
    rig.wish("../../etc", json!({"action": "run"}));
    rig.forget(WORKER);
    rig.until_state(WORKER, from, "gone").await;
    assert!(!is_running(pids[0]) && is_running(pids[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_in_rust_serves_and_forgets() {
    // Cargo builds examples with the tests, beside the binary.
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_greenroom"));
    let example = binary.with_file_name("examples").join("worker");
    let rig = Rig::start(vec![example.display().to_string()]).await;
    rig.ready(WORKER).await;
    for session in ["a", "b"] {
        assert_eq!(rig.assign(WORKER, session).await["state"], "busy");
        let reset = rig.reset(WORKER, "soft").await;
        assert_eq!((&reset["state"], &reset["done"]), (&json!("ready"), &json!(true)), "{reset}");
    }
    assert!(rig.stop(WORKER).await["detail"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_calls_its_session_over_has_that_told_until_it_has_forgotten_it() {
    let rig = Rig::start(echo()).await;
    let endpoint = endpoint(&rig.ready(WORKER).await);
    for session in ["a", "b"] {
        let busy = rig.assign(WORKER, session).await;
        assert_eq!(busy["released"], false, "{busy}");
        let from = rig.calls();
        ask(&endpoint, "/leave", Some(json!({}))).await;
        let over = rig.until(WORKER, from, "released", |report| report["released"] == true).await;
        assert_eq!((&over["state"], &over["lease"]), (&json!("busy"), &json!(format!("lse_{session}"))), "{over}");
        let clean = rig.reset(WORKER, "soft").await;
        assert_eq!((&clean["done"], &clean["released"]), (&json!(true), &json!(false)), "{clean}");
    }
}
