//! What tests of the binary stand on: a Redis, a stand-in for LiveKit with a worker, replicas as
//! processes, and callers.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::process::{Balancer, Replica, own_address, settings};
use super::redis::TestRedis;
use crate::standin::{Standin, Timings, WorkerBehaviour};

/// The agent that the worker of the stage serves.
pub(crate) const AGENT: &str = "guide";
/// The API key of its replicas.
pub(crate) const KEY: &str = "a-key-of-a-test";

/// Redis, LiveKit, a directory, and the settings that replicas of them need.
pub(crate) struct Stage {
    pub(crate) redis: TestRedis,
    pub(crate) livekit: Standin,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) settings: Vec<(String, String)>,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        let redis = TestRedis::start().await;
        let livekit = Standin::start(Timings::fast()).await.expect("a stand-in");
        livekit.add_worker(AGENT, WorkerBehaviour::long_lived());
        let settings = settings([
            ("REDIS_URL", &redis.url()),
            ("LIVEKIT_URL", livekit.url()),
            ("LIVEKIT_API_KEY", livekit.api_key()),
            ("LIVEKIT_API_SECRET", livekit.api_secret()),
            ("GREENROOM_API_KEY", KEY),
            ("GREENROOM_DEFAULT_AGENT", AGENT),
            ("GREENROOM_SERVER_DRAIN_MS", "0"),
            ("GREENROOM_LOG_FORMAT", "text"),
        ]);
        Self { redis, livekit, dir: tempfile::tempdir().expect("a directory"), settings }
    }

    /// Changes a setting of what is started from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// The settings without one.
    pub(crate) fn settings_without(&self, name: &str) -> Vec<(String, String)> {
        self.settings.iter().filter(|(known, _)| known != name).cloned().collect()
    }

    /// Starts a replica.
    pub(crate) async fn replica(&self) -> Replica {
        Replica::start(own_address(), &self.settings, self.dir.path()).await
    }

    /// Starts replicas with a balancer before them, to which the webhooks go.
    pub(crate) async fn replicas(&self, count: usize) -> (Vec<Replica>, Balancer) {
        let mut replicas = Vec::new();
        for _ in 0..count {
            replicas.push(self.replica().await);
        }
        let addresses: Vec<_> = replicas.iter().map(|replica| replica.address).collect();
        let balancer = Balancer::start(&addresses, self.dir.path()).await;
        self.livekit.set_webhook(&balancer.url("/api/livekit/webhook"));
        (replicas, balancer)
    }
}

/// An answer to `POST /v1/dispatches`.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn is_new(&self) -> bool {
        self.body["reused"] == json!(false)
    }
}

/// Asks for the agent of a room; an error where no answer came.
pub(crate) async fn ask(client: &Client, url: &str, room: &str) -> reqwest::Result<Answer> {
    let body = json!({"room": room, "agent": AGENT});
    let answer = client.post(url).bearer_auth(KEY).json(&body).send().await?;
    Ok(Answer { status: answer.status().as_u16(), body: answer.json().await? })
}

/// Asks as many times at once, and gives all answers; no answer at all fails the test.
pub(crate) async fn ask_at_once(client: &Client, url: &str, rooms: &[String], each: usize) -> Vec<Answer> {
    let calls: Vec<_> = (0..rooms.len() * each)
        .map(|n| {
            let (client, url, room) = (client.clone(), url.to_owned(), rooms[n % rooms.len()].clone());
            tokio::spawn(async move { ask(&client, &url, &room).await })
        })
        .collect();
    let mut answers = Vec::with_capacity(calls.len());
    for call in calls {
        answers.push(call.await.expect("no panic").expect("an answer"));
    }
    answers
}

/// A client that waits as long as an answer may take.
pub(crate) fn client() -> Client {
    Client::new(Duration::from_secs(40))
}
