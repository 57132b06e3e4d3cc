//! Real replicas behind a real balancer, and one of them killed: still one agent per room.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::standin::{Fault, Method, View};
use crate::support::client::{Client, get};
use crate::support::eventually;
use crate::support::process::{Replica, assert_within};
use crate::support::stage::{AGENT, Answer, Stage, ask, ask_at_once, client};

/// The most that a creation by another replica may take: some claims, on a machine that is busy.
const CEILING: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_behind_a_balancer_get_one_agent() {
    let stage = Stage::start().await;
    let (replicas, balancer) = stage.replicas(3).await;
    let url = balancer.url("/v1/dispatches");
    let answers = ask_at_once(&client(), &url, &["lobby".to_owned()], 1000).await;
    let statuses: HashSet<u16> = answers.iter().map(|answer| answer.status).collect();
    let ids: HashSet<String> = answers.iter().map(Answer::id).collect();
    assert_eq!((ids.len(), answers.len()), (1, 1000), "{statuses:?}");
    assert_eq!(answers.iter().filter(|answer| answer.is_new()).count(), 1, "{statuses:?}");
    assert_eq!(stage.livekit.created("lobby", AGENT), 1);
    // All three had their share: it was not one process that knew by itself.
    for replica in &replicas {
        let metrics = get(&replica.url("/metrics")).await.expect("an answer").text().await.expect("a text");
        assert!(metrics.contains(r#"greenroom_dispatch_acquired_total{outcome="reused"}"#), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_rooms_at_once_get_an_agent_each() {
    let stage = Stage::start().await;
    let (_replicas, balancer) = stage.replicas(3).await;
    let rooms: Vec<String> = (0..50).map(|n| format!("room-{n}")).collect();
    let answers = ask_at_once(&client(), &balancer.url("/v1/dispatches"), &rooms, 20).await;
    let mut by_room: HashMap<String, (HashSet<String>, usize)> = HashMap::new();
    for answer in &answers {
        let (ids, new) = by_room.entry(answer.body["room"].to_string()).or_default();
        ids.insert(answer.id());
        *new += usize::from(answer.is_new());
    }
    assert_eq!((by_room.len(), answers.len()), (50, 1000));
    for (room, (ids, new)) in &by_room {
        assert_eq!((ids.len(), *new), (1, 1), "{room}");
    }
    for room in &rooms {
        assert_eq!(stage.livekit.created(room, AGENT), 1, "{room}");
    }
}

/// Twenty callers ask the first replica, which is killed once `reached` holds at the provider; they
/// go on at the second one.
async fn kill_a_maker(fault: Fault, reached: impl Fn(&View<'_>) -> bool) -> (Stage, Replica, Vec<Answer>) {
    let mut stage = Stage::start().await;
    stage.set("GREENROOM_DISPATCH_CLAIM_MS", "1500");
    stage.livekit.faults().set(Method::CreateDispatch, fault.times(1));
    let (mut first, second) = (stage.replica().await, stage.replica().await);
    let urls = [first.url("/v1/dispatches"), second.url("/v1/dispatches")];
    let client = client();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (client, urls) = (client.clone(), urls.clone());
            tokio::spawn(async move { ask_until_answered(&client, &urls).await })
        })
        .collect();
    stage.livekit.wait_until(reached, Duration::from_secs(20)).await.expect("the creation begins");
    let killed = Instant::now();
    first.process.kill();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.expect("no panic"));
    }
    assert_within(killed, CEILING, "the creation by another replica");
    (stage, second, answers)
}

/// What a client does: where a connection breaks, or the answer says to try again, it does so elsewhere.
async fn ask_until_answered(client: &Client, urls: &[String; 2]) -> Answer {
    let began = Instant::now();
    for url in urls.iter().cycle() {
        assert!(began.elapsed() < CEILING, "no answer in time");
        match ask(client, url, "lobby").await {
            Ok(answer) if [200, 201].contains(&answer.status) => return answer,
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    unreachable!("a cycle does not end")
}

fn assert_one(answers: &[Answer]) {
    let ids: HashSet<String> = answers.iter().map(Answer::id).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let new = answers.iter().filter(|answer| answer.is_new()).count();
    assert!(new <= 1, "{new} of {} answers say that theirs is new", answers.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_killed_while_its_creation_is_under_way_leaves_one_agent() {
    let slow = Fault::slow(Duration::from_millis(700));
    let asked = |view: &View<'_>| view.count_in(Method::CreateDispatch, "lobby") == 1;
    let (stage, _second, answers) = kill_a_maker(slow, asked).await;
    assert_one(&answers);
    assert_eq!(stage.livekit.created("lobby", AGENT), 1, "the one that came late is adopted");
    assert_eq!(stage.livekit.dispatches("lobby", AGENT).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_killed_after_its_creation_and_before_its_commit_leaves_one_agent() {
    let slow = Fault::slow_reply(Duration::from_secs(10));
    let (stage, _second, answers) = kill_a_maker(slow, |view| view.created("lobby", AGENT) == 1).await;
    assert_one(&answers);
    assert_eq!(stage.livekit.created("lobby", AGENT), 1, "it is found and adopted");
    assert_eq!(stage.livekit.dispatches("lobby", AGENT).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_comes_to_pass_after_its_replica_was_replaced_is_removed() {
    let slow = Fault::slow(Duration::from_secs(6));
    let asked = |view: &View<'_>| view.count_in(Method::CreateDispatch, "lobby") == 1;
    let (stage, _second, answers) = kill_a_maker(slow, asked).await;
    assert_one(&answers);
    let both = |view: &View<'_>| view.created("lobby", AGENT) == 2;
    stage.livekit.wait_until(both, Duration::from_secs(20)).await.expect("the late one comes");
    eventually("one is left", async || (stage.livekit.dispatches("lobby", AGENT).len() == 1).then_some(())).await;
    let left = &stage.livekit.dispatches("lobby", AGENT)[0].id;
    assert_eq!(answers[0].body["provider_id"], serde_json::json!(left), "the one that was answered with stays");
}
