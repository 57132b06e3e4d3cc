//! Real replicas on one Redis and one stand-in of LiveKit: everything from the socket to the store,
//! in the test's own process.
//!
//! Timings are a tenth or less of the shipped ones, in the same proportions. No test asserts a tight
//! time: each waits for a condition, and [`House::agrees`] says what must hold whatever happened.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenroom::app::{self, Replica};
use greenroom::config::Config;
use greenroom::lifecycle::{Shutdown, Stopped};
use reqwest::Method as Verb;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::answer::{Acquired, Answer};
use super::client::Client;
use super::redis::TestRedis;
use super::{PATIENCE, eventually};
use crate::standin::{Agent, Method, Mischief, Standin, Timings, View};

/// The agent that every test asks for.
pub(crate) const AGENT: &str = "guide";
/// The default room.
pub(crate) const ROOM: &str = "lobby";
const API_KEY: &str = "a-key-for-tests";

/// What a test wants changed.
pub(crate) struct Plan {
    replicas: usize,
    env: HashMap<String, String>,
    timings: Timings,
    webhooks: bool,
    redis: Option<TestRedis>,
}

/// One replica that runs, or ran.
struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    run: Option<JoinHandle<Stopped>>,
}

/// Replicas, their Redis, and LiveKit.
pub(crate) struct House {
    pub(crate) redis: TestRedis,
    pub(crate) standin: Standin,
    pub(crate) caller: Caller,
    replicas: Vec<Running>,
}

/// Somebody who calls the replicas in turn. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client,
    addresses: Vec<SocketAddr>,
    turn: Arc<AtomicUsize>,
}

impl Default for Plan {
    fn default() -> Self {
        let env = [
            ("GREENROOM_API_KEY", API_KEY),
            ("GREENROOM_DEFAULT_AGENT", AGENT),
            ("GREENROOM_SERVER_DRAIN_MS", "0"),
            ("GREENROOM_SERVER_GRACE_MS", "10000"),
            ("GREENROOM_REDIS_SHARDS", "4"),
            ("GREENROOM_REDIS_COMMAND_TIMEOUT_MS", "1000"),
            ("GREENROOM_LIVEKIT_CALL_TIMEOUT_MS", "3000"),
            ("AGENT_TTL_SECONDS", "60"),
            ("CLEANUP_INTERVAL_MS", "1000"),
            ("GREENROOM_DISPATCH_LIVENESS_WINDOW_MS", "1500"),
            ("GREENROOM_DISPATCH_CHECK_INTERVAL_MS", "500"),
            ("GREENROOM_DISPATCH_HEARTBEAT_BELIEVED_MS", "1200"),
            ("GREENROOM_DISPATCH_JOIN_DEADLINE_MS", "2000"),
            ("GREENROOM_DISPATCH_JOIN_DEADLINE_WITH_JOB_MS", "4000"),
            ("GREENROOM_DISPATCH_CREATION_BUDGET_MS", "10000"),
            ("GREENROOM_DISPATCH_CREATION_BACKOFF_MS", "100"),
            ("GREENROOM_DISPATCH_CLAIM_MS", "1000"),
            ("GREENROOM_DISPATCH_FAILURE_HOLD_MS", "1000"),
            ("GREENROOM_DISPATCH_SLOW_TRY_INTERVAL_MS", "2000"),
            ("GREENROOM_BREAKER_OPEN_MS", "300"),
            ("GREENROOM_BREAKER_OPEN_MS_MAX", "300"),
            ("GREENROOM_LEADER_LEASE_MS", "1500"),
            ("GREENROOM_LEADER_RENEW_MS", "300"),
            ("GREENROOM_LEADER_SCAN_INTERVAL_MS", "50"),
        ];
        Self {
            replicas: 2,
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            timings: Timings {
                room_second: Duration::from_secs(1),
                report_interval: Duration::from_millis(200),
                ..Timings::fast()
            },
            webhooks: true,
            redis: None,
        }
    }
}

impl Plan {
    /// Two replicas and LiveKit with the times that they are shipped with.
    pub(crate) fn shipped() -> Self {
        let mut plan = Self { timings: Timings::default(), ..Self::default() };
        let kept = ["GREENROOM_API_KEY", "GREENROOM_DEFAULT_AGENT", "GREENROOM_SERVER_DRAIN_MS"];
        plan.env.retain(|name, _| kept.contains(&name.as_str()));
        plan
    }

    /// So many replicas instead of two.
    pub(crate) fn replicas(self, replicas: usize) -> Self {
        Self { replicas, ..self }
    }

    /// One setting changed.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// LiveKit's durations changed.
    pub(crate) fn timings(mut self, change: impl FnOnce(&mut Timings)) -> Self {
        change(&mut self.timings);
        self
    }

    /// On this Redis instead of one of the usual kind.
    pub(crate) fn on(self, redis: TestRedis) -> Self {
        Self { redis: Some(redis), ..self }
    }

    /// No webhook is set at LiveKit.
    pub(crate) fn without_webhooks(self) -> Self {
        Self { webhooks: false, ..self }
    }

    /// Starts everything.
    pub(crate) async fn start(self) -> House {
        // Another test of the process may have installed it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let redis = match self.redis {
            Some(redis) => redis,
            None => TestRedis::start().await,
        };
        let standin = Standin::start(self.timings).await.expect("a stand-in");
        let mut env = self.env;
        for (name, value) in [
            ("REDIS_URL", redis.url().as_str()),
            ("LIVEKIT_URL", standin.url()),
            ("LIVEKIT_API_KEY", standin.api_key()),
            ("LIVEKIT_API_SECRET", standin.api_secret()),
        ] {
            env.insert(name.to_owned(), value.to_owned());
        }
        let mut replicas = Vec::new();
        for _ in 0..self.replicas {
            replicas.push(Running::start(env.clone()).await);
        }
        if self.webhooks {
            standin.set_webhook(&format!("http://{}/api/livekit/webhook", replicas[0].address));
        }
        let client = Client::patient();
        let addresses = replicas.iter().map(|replica| replica.address).collect();
        House { redis, standin, caller: Caller { client, addresses, turn: Arc::default() }, replicas }
    }
}

impl Running {
    /// On a port chosen beforehand, since agents are told where to report.
    async fn start(mut env: HashMap<String, String>) -> Self {
        let mut failures = Vec::new();
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
            env.insert("GREENROOM_LISTEN".to_owned(), address.to_string());
            let config = Config::load(None, env.clone().into_iter()).expect("settings that go together");
            let provider = app::provider(&config).expect("LiveKit is configured");
            match Replica::start(&config, provider).await {
                Ok(replica) => {
                    let shutdown = replica.shutdown();
                    return Self { address, shutdown, run: Some(tokio::spawn(replica.run())) };
                }
                // Somebody was faster at the port.
                Err(error) => failures.push(format!("{error:#}")),
            }
        }
        panic!("no replica started: {failures:?}");
    }
}

impl Caller {
    /// A call to a replica, in turn.
    pub(crate) async fn call(&self, verb: Verb, path: &str, body: Option<Value>) -> Answer {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let url = format!("http://{}{path}", self.addresses[turn % self.addresses.len()]);
        let request = self.client.request(verb, url).bearer_auth(API_KEY);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        Answer::read(request.send().await.expect("an answer")).await
    }

    /// Asks for the room's agent, whatever comes.
    pub(crate) async fn ask(&self, room: &str) -> Answer {
        self.call(Verb::POST, "/v1/dispatches", Some(json!({"room": room, "agent": AGENT}))).await
    }

    /// Asks for the room's agent as pages do.
    pub(crate) async fn ask_as_page(&self, room: &str) -> Answer {
        self.call(Verb::POST, "/api/livekit/dispatch-agent", Some(json!({"roomName": room}))).await
    }
}

impl House {
    /// Two replicas with the usual settings.
    pub(crate) async fn start() -> Self {
        Plan::default().start().await
    }

    /// Where a replica answers.
    pub(crate) fn url(&self, replica: usize, path: &str) -> String {
        format!("http://{}{path}", self.replicas[replica].address)
    }

    /// A call with the settings' key to a replica, in turn.
    pub(crate) async fn call(&self, verb: Verb, path: &str, body: Option<Value>) -> Answer {
        self.caller.call(verb, path, body).await
    }

    /// Asks for the room's agent, whatever comes.
    pub(crate) async fn ask(&self, room: &str) -> Answer {
        self.caller.ask(room).await
    }

    /// Asks for the room's agent, which must be given.
    pub(crate) async fn acquire(&self, room: &str) -> Acquired {
        self.ask(room).await.acquired()
    }

    /// Waits until every replica serves again after Redis was away: each has its own connection.
    pub(crate) async fn until_all_serve(&self, room: &str) {
        let mut in_turn = 0;
        eventually("all replicas serve again", async || {
            in_turn = if self.ask(room).await.status < 300 { in_turn + 1 } else { 0 };
            (in_turn >= self.caller.addresses.len()).then_some(())
        })
        .await;
    }

    /// The room's dispatch, if there is one.
    pub(crate) async fn dispatch(&self, room: &str) -> Option<Value> {
        let answer = self.call(Verb::GET, &format!("/v1/dispatches?room={room}&agent={AGENT}"), None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["dispatches"].as_array().and_then(|all| all.first().cloned())
    }

    /// The room's dispatch of that agent, if there is one.
    pub(crate) async fn dispatch_of(&self, room: &str, agent: &str) -> Option<Value> {
        let answer = self.call(Verb::GET, &format!("/v1/dispatches?room={room}&agent={agent}"), None).await;
        answer.body["dispatches"].as_array().and_then(|all| all.first().cloned())
    }

    /// Waits until greenroom has a dispatch for the room, without asking for one.
    pub(crate) async fn until_found(&self, room: &str) -> Value {
        eventually("the dispatch is found", async || {
            let path = format!("/v1/dispatches?room={room}&agent={AGENT}");
            let answer = self.call(Verb::GET, &path, None).await;
            let found = answer.body["dispatches"].as_array().and_then(|all| all.first().cloned());
            found.filter(|found| found["state"] == "active" || found["state"] == "idle")
        })
        .await
    }

    /// Somebody else than greenroom makes a room and dispatches an agent to it.
    pub(crate) async fn dispatch_by_another(&self, room: &str, agent: &str) {
        self.livekit(Method::CreateRoom, json!({"name": room})).await;
        self.livekit(Method::CreateDispatch, json!({"room": room, "agent_name": agent})).await;
    }

    /// What pages see of the room's agent.
    pub(crate) async fn status(&self, room: &str) -> Value {
        let answer = self.call(Verb::GET, &format!("/api/livekit/agent-status?roomName={room}"), None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Ends a dispatch.
    pub(crate) async fn delete(&self, id: &str) -> Answer {
        self.call(Verb::DELETE, &format!("/v1/dispatches/{id}"), None).await
    }

    /// Starts, moves or stops the time to live.
    pub(crate) async fn change_ttl(&self, id: &str, ttl_seconds: Option<u32>) -> Value {
        let body = json!({"ttl_seconds": ttl_seconds});
        let answer = self.call(Verb::POST, &format!("/v1/dispatches/{id}/ttl"), Some(body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Says that somebody is interested.
    pub(crate) async fn show_interest(&self, id: &str) -> Value {
        let answer = self.call(Verb::POST, &format!("/v1/dispatches/{id}/activity"), None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Why the room's dispatches are as they are: the reasons of its steps, oldest first.
    pub(crate) async fn reasons(&self, room: &str) -> Vec<String> {
        let answer = self.call(Verb::GET, &format!("/v1/rooms/{room}/explain"), None).await;
        let steps = answer.body["steps"].as_array().cloned().unwrap_or_default();
        steps.iter().map(|step| step["reason"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// A token of LiveKit with these grants.
    pub(crate) fn token(&self, video: &Value) -> String {
        let exp = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp() + 60;
        let claims = json!({"iss": self.standin.api_key(), "nbf": exp - 120, "exp": exp, "video": video});
        let secret = jsonwebtoken::EncodingKey::from_secret(self.standin.api_secret().as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &secret).expect("a token")
    }

    /// A call to LiveKit by somebody else than greenroom.
    pub(crate) async fn livekit(&self, method: Method, body: Value) -> Value {
        let room = body["room"].as_str().or_else(|| body["name"].as_str()).unwrap_or_default();
        let token = self.token(&json!({"roomAdmin": true, "room": room, "roomCreate": true, "roomList": true}));
        let url = format!("{}/twirp/livekit.{}", self.standin.url(), method.path());
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client.post(url).bearer_auth(token).json(&body).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{method:?}: {}", answer.status());
        answer.json().await.unwrap_or_default()
    }

    /// Waits until LiveKit's state is so.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&View<'_>) -> bool) {
        if self.standin.wait_until(condition, PATIENCE).await.is_err() {
            let (agents, dispatch) = (self.standin.agents_in(ROOM), self.dispatch(ROOM).await);
            let (there, why) = (self.standin.dispatches(ROOM, AGENT), self.reasons(ROOM).await);
            panic!("not within {PATIENCE:?}: {what}\n{dispatch:#?}\n{why:?}\n{agents:#?}\n{there:#?}");
        }
    }

    /// Waits until the room's dispatch is so.
    pub(crate) async fn until_dispatch(&self, room: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let began = std::time::Instant::now();
        loop {
            let dispatch = self.dispatch(room).await;
            if let Some(dispatch) = dispatch.as_ref().filter(|dispatch| condition(dispatch)) {
                return dispatch.clone();
            }
            if began.elapsed() > PATIENCE {
                let why = self.reasons(room).await;
                panic!("not within {PATIENCE:?}: {what}\n{dispatch:#?}\n{why:?}\n{:#?}", self.standin.agents_in(room));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until greenroom knows of so many people.
    pub(crate) async fn until_people(&self, room: &str, people: u64) -> Value {
        self.until_dispatch(room, &format!("{people} people are known"), |it| it["participant_count"] == people).await
    }

    /// Waits until the agent that greenroom means works in the room, alone of its name, with a person.
    pub(crate) async fn until_served(&self, room: &str) -> Agent {
        self.until("a working agent is with the people", |view| view.working_in(room, AGENT).len() == 1).await;
        eventually("the agent in the room is the one of the dispatch", async || {
            let dispatch = self.dispatch(room).await?;
            let [agent] = self.standin.view(|view| view.working_in(room, AGENT)).try_into().ok()?;
            let meant = dispatch["state"] == "active" && dispatch["provider_id"] == agent.dispatch_id.as_str();
            meant.then_some(agent)
        })
        .await
    }

    /// Waits until the room's agent is there, person or not, and greenroom knows it.
    pub(crate) async fn until_present(&self, room: &str) -> Agent {
        self.until_dispatch(room, "the agent was seen", |it| !it["seen_alive_at"].is_null()).await;
        self.until("one agent works", |view| view.working_in(room, AGENT).len() == 1).await;
        self.standin.view(|view| view.working_in(room, AGENT)).remove(0)
    }

    /// Waits until the room has no dispatch, neither at LiveKit nor in Redis; then Redis must be clean.
    pub(crate) async fn until_ended(&self, room: &str) {
        self.until("no dispatch is left at LiveKit", |view| view.dispatches(room, AGENT).is_empty()).await;
        eventually("the dispatch is forgotten", async || self.dispatch(room).await.is_none().then_some(())).await;
        assert_eq!(self.status(room).await["hasAgent"], false);
        self.agrees(room).await;
        let keys: Vec<String> = self.redis.run(&["KEYS", "gr:*"]).await;
        for key in keys.iter().filter(|key| key.contains(&format!(":{room}"))) {
            let ttl: i64 = self.redis.run(&["TTL", key]).await;
            // What went between the two calls is gone, too.
            assert!((1..=3600).contains(&ttl) || ttl == -2, "{key} is left behind with a TTL of {ttl} s");
        }
        for lane in ["beat", "store", "provider"] {
            for shard in 0..4 {
                let due: Vec<String> =
                    self.redis.run(&["ZRANGE", &format!("gr:{{{shard}}}:due:{lane}"), "0", "-1"]).await;
                assert!(due.iter().all(|member| !member.contains(&format!(":{room}:"))), "{lane}: {due:?}");
            }
        }
    }

    /// What must hold of a room whatever happened: never two agents at work, and one dispatch at most.
    pub(crate) async fn agrees(&self, room: &str) {
        assert!(self.standin.overlaps(room, AGENT) <= 1, "two agents worked in {room} at once");
        self.until("at most one dispatch is at LiveKit", |view| view.dispatches(room, AGENT).len() <= 1).await;
        let there = self.standin.dispatches(room, AGENT);
        if let (Some(ours), Some(there)) = (self.dispatch(room).await, there.first())
            && matches!(ours["state"].as_str(), Some("active" | "idle"))
        {
            assert_eq!(ours["provider_id"], there.id.as_str(), "LiveKit has another dispatch than greenroom");
        }
    }

    /// Whether the replica leads.
    pub(crate) async fn leads(&self, replica: usize) -> bool {
        let url = format!("http://{}/metrics", self.replicas[replica].address);
        let answer = self.caller.client.get(url).bearer_auth(API_KEY).send().await.expect("an answer");
        answer.text().await.expect("text").lines().any(|line| line == "greenroom_leader 1")
    }

    /// Waits until one of the running replicas leads.
    pub(crate) async fn until_led(&self) -> usize {
        eventually("a replica leads", async || {
            for replica in 0..self.replicas.len() {
                if self.replicas[replica].run.is_some() && self.leads(replica).await {
                    return Some(replica);
                }
            }
            None
        })
        .await
    }

    /// Stops a replica in good order; webhooks go to another from now on.
    pub(crate) async fn stop(&mut self, replica: usize) -> Stopped {
        let run = self.replicas[replica].run.take().expect("a replica that runs");
        let address = self.replicas[replica].address;
        self.caller.addresses.retain(|other| *other != address);
        if let Some(other) = self.replicas.iter().find(|replica| replica.run.is_some()) {
            self.standin.set_webhook(&format!("http://{}/api/livekit/webhook", other.address));
        }
        self.replicas[replica].shutdown.begin();
        run.await.expect("no panic")
    }

    /// Does something to webhooks from now on.
    pub(crate) fn mischief(&self, mischief: Mischief) {
        self.standin.set_mischief(mischief);
    }
}
