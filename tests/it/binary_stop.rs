//! Replicas that stop: nothing that was begun is lost, another leads, no caller notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::standin::{Fault, Method};
use crate::support::client::get;
use crate::support::process::Replica;
use crate::support::stage::{AGENT, KEY, Stage, ask, client};
use crate::support::{PATIENCE, eventually, size_of_test};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_says_not_ready_and_answers_what_was_begun() {
    let mut stage = Stage::start().await;
    stage.set("GREENROOM_SERVER_DRAIN_MS", "1000");
    stage.livekit.faults().set(Method::CreateDispatch, Fault::slow(Duration::from_secs(3)).times(1));
    let mut replica = stage.replica().await;
    let (client, url) = (client(), replica.url("/v1/dispatches"));
    let call = tokio::spawn(async move { ask(&client, &url, "lobby").await });
    let asked = stage.livekit.wait_until(|view| view.count(Method::CreateDispatch) == 1, PATIENCE).await;
    asked.expect("the creation begins");

    replica.process.signal("TERM");
    eventually("it is not ready", async || {
        let answer = get(&replica.url("/readyz")).await.expect("it still answers");
        (answer.status() == 503).then_some(())
    })
    .await;
    assert_eq!(get(&replica.url("/healthz")).await.expect("it serves on").status(), 200);
    let answer = call.await.expect("no panic").expect("what was begun is answered");
    assert_eq!((answer.status, answer.is_new()), (201, true));
    assert_eq!(replica.process.ended().await.code(), Some(0));
    assert_eq!(stage.livekit.dispatches("lobby", AGENT).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_the_work_whose_caller_has_gone() {
    let stage = Stage::start().await;
    stage.livekit.faults().set(Method::CreateDispatch, Fault::slow(Duration::from_secs(2)).times(1));
    let (mut replica, other) = (stage.replica().await, stage.replica().await);
    let (caller, url) = (client(), replica.url("/v1/dispatches"));
    let call = tokio::spawn(async move { ask(&caller, &url, "lobby").await });
    let asked = stage.livekit.wait_until(|view| view.count(Method::CreateDispatch) == 1, PATIENCE).await;
    asked.expect("the creation begins");
    call.abort();
    replica.process.signal("TERM");
    assert_eq!(replica.process.ended().await.code(), Some(0));
    // Committed by the one that went: the other finds it without making or adopting anything.
    let url = other.url("/v1/dispatches?room=lobby");
    let found = client().get(url).bearer_auth(KEY).send().await.expect("an answer").text().await.expect("a text");
    let provider_id = &stage.livekit.dispatches("lobby", AGENT)[0].id;
    assert!(found.contains(provider_id.as_str()), "{found}");
}

async fn leader(replicas: &[Replica]) -> usize {
    eventually("one leads", async || {
        for (n, replica) in replicas.iter().enumerate() {
            if replica.leads().await == Some(true) {
                return Some(n);
            }
        }
        None
    })
    .await
}

/// The lease is longer than the test's patience: only a leader that steps down is followed in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_hands_over() {
    let mut stage = Stage::start().await;
    stage.set("GREENROOM_LEADER_LEASE_MS", "60000");
    let mut replicas = vec![stage.replica().await, stage.replica().await];
    let mut first = replicas.remove(leader(&replicas).await);
    assert_eq!(replicas[0].leads().await, Some(false));
    first.process.signal("TERM");
    assert_eq!(first.process.ended().await.code(), Some(0));
    assert_eq!(leader(&replicas).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_is_followed_when_its_lease_is_over() {
    let mut stage = Stage::start().await;
    stage.set("GREENROOM_DISPATCH_CLAIM_MS", "1000");
    stage.set("GREENROOM_LEADER_LEASE_MS", "2000");
    let mut replicas = vec![stage.replica().await, stage.replica().await];
    let mut first = replicas.remove(leader(&replicas).await);
    first.process.kill();
    assert_eq!(leader(&replicas).await, 0);
}

/// What a few callers met while replicas came and went.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    answered: AtomicUsize,
    failed: std::sync::Mutex<Vec<String>>,
}

impl Load {
    async fn run(self: Arc<Self>, url: String, caller: usize) {
        let client = client();
        for n in (0..).take_while(|_| !self.over.load(Ordering::SeqCst)) {
            match ask(&client, &url, &format!("room-{caller}-{}", n % 5)).await {
                Ok(answer) if answer.status < 300 => drop(self.answered.fetch_add(1, Ordering::SeqCst)),
                failed => self.failed.lock().expect("no panic").push(format!("{failed:?}")),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_restarts_behind_a_balancer_fail_no_request() {
    let mut stage = Stage::start().await;
    stage.set("GREENROOM_SERVER_DRAIN_MS", "1000");
    let (mut replicas, balancer) = stage.replicas(3).await;
    let load = Arc::new(Load::default());
    let url = balancer.url("/v1/dispatches");
    let callers: Vec<_> = (0..4).map(|caller| tokio::spawn(Arc::clone(&load).run(url.clone(), caller))).collect();
    for _ in 0..size_of_test("GREENROOM_TEST_RESTARTS", 3) {
        for replica in &mut replicas {
            let before = load.answered.load(Ordering::SeqCst);
            replica.process.signal("TERM");
            assert_eq!(replica.process.ended().await.code(), Some(0));
            *replica = Replica::start(replica.address, &stage.settings, stage.dir.path()).await;
            balancer.until_up(3).await;
            eventually("requests go on", async || (load.answered.load(Ordering::SeqCst) > before).then_some(())).await;
        }
    }
    load.over.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.expect("no panic");
    }
    let failed = load.failed.lock().expect("no panic");
    assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), load.answered.load(Ordering::SeqCst), failed.first());
}
