//! Callers of several rooms, and people who come and go.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::history::{Call, History, Outcome, Verb};
use super::rig::{AGENTS, Rig};
use super::schedule::REPLICAS;
use super::{sessions, users};
use crate::standin::Kind;
use crate::support::client::{Client, Request};
use crate::support::size_of_test;
use crate::support::stage::KEY;

/// The room in which one person is there all the time, and whose dispatch nobody ends.
pub(crate) const STAYS: &str = "stays";
/// Rooms in which people come and go.
const COME_AND_GO: [&str; 4] = ["come-and-go-0", "come-and-go-1", "come-and-go-2", "pair"];
/// A room that nobody enters.
const EMPTY: &str = "empty";
/// A room in which people come and go, for so many callers.
const CALLERS_A_ROOM: usize = 4;

/// How many call at once, five to fifty times a second each: `GREENROOM_HARNESS_CALLERS`.
fn callers() -> usize {
    size_of_test("GREENROOM_HARNESS_CALLERS", 12)
}

/// The rooms in which people come and go: those that there always are, and one more for every few callers more.
fn come_and_go_rooms() -> Vec<&'static str> {
    static CROWD: LazyLock<Vec<String>> = LazyLock::new(|| {
        let more = (callers() / CALLERS_A_ROOM).saturating_sub(COME_AND_GO.len());
        (0..more).map(|n| format!("crowd-{n}")).collect()
    });
    COME_AND_GO.into_iter().chain(CROWD.iter().map(String::as_str)).collect()
}

/// Every place that is asked for.
pub(crate) fn places() -> Vec<(&'static str, &'static str)> {
    let mut places = vec![(STAYS, AGENTS[0]), (EMPTY, AGENTS[0]), ("pair", AGENTS[1])];
    places.extend(come_and_go_rooms().into_iter().map(|room| (room, AGENTS[0])));
    places
}

/// The load, until it is told otherwise.
pub(crate) struct Load {
    /// From now on nobody comes or goes, and callers only ask.
    pub(crate) settled: CancellationToken,
    /// From now on nobody calls.
    pub(crate) over: CancellationToken,
    tasks: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(rig: &Arc<Rig>, history: &Arc<History>, seed: u64) -> Self {
        let (settled, over) = (CancellationToken::new(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        rig.livekit.person_joins(STAYS, "ann", Kind::Standard);
        let ids = Arc::default();
        for n in 0..u64::try_from(callers()).expect("a small number") {
            let caller = Caller {
                rig: Arc::clone(rig),
                history: Arc::clone(history),
                client: Client::new(Duration::from_secs(7)),
                dice: StdRng::seed_from_u64(seed ^ (n + 1) << 32),
                settled: settled.clone(),
                ids: Arc::clone(&ids),
                name: n,
            };
            tasks.spawn(caller.run(over.clone()));
        }
        for (n, room) in (0..).zip(come_and_go_rooms()) {
            let dice = StdRng::seed_from_u64(seed ^ (n + 1) << 48);
            tasks.spawn(come_and_go(Arc::clone(rig), room, dice, settled.clone()));
        }
        users::start(rig, history, seed, (&settled, &over), &mut tasks);
        sessions::start(rig, history, seed, (&settled, &over), &mut tasks);
        Self { settled, over, tasks }
    }

    /// Waits until the last call is answered; an answer that the document does not promise fails it.
    pub(crate) async fn end(mut self) {
        self.over.cancel();
        while let Some(done) = self.tasks.join_next().await {
            done.expect("callers get what the document promises");
        }
    }
}

/// Everybody leaves.
pub(crate) fn leave_all(rig: &Rig) {
    for room in rig.livekit.view(|view| view.rooms()) {
        for person in rig.livekit.view(|view| view.people_in(&room)) {
            rig.livekit.person_leaves(&room, &person.sid);
        }
    }
}

async fn come_and_go(rig: Arc<Rig>, room: &'static str, mut dice: StdRng, settled: CancellationToken) {
    for n in 0.. {
        let away = Duration::from_millis(dice.random_range(100..5000));
        if settled.run_until_cancelled(tokio::time::sleep(away)).await.is_none() {
            return;
        }
        let sid = rig.livekit.person_joins(room, &format!("bob-{n}"), Kind::Standard);
        let stay = Duration::from_millis(dice.random_range(50..5000));
        if settled.run_until_cancelled(tokio::time::sleep(stay)).await.is_none() {
            return;
        }
        rig.livekit.person_leaves(room, &sid);
    }
}

/// How a call comes out.
pub(super) async fn outcome(request: Request) -> Outcome {
    let Ok(answer) = request.send().await else { return Outcome::Unknown };
    let (status, body) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default());
    match status {
        ..300 => Outcome::Ok { status, body },
        _ => Outcome::Fail { status, code: body["code"].as_str().unwrap_or_default().to_owned() },
    }
}

struct Caller {
    rig: Arc<Rig>,
    history: Arc<History>,
    client: Client,
    dice: StdRng,
    settled: CancellationToken,
    /// The last id that was told of each room.
    ids: Arc<Mutex<HashMap<String, String>>>,
    name: u64,
}

impl Caller {
    async fn run(mut self, over: CancellationToken) {
        let places = places();
        for n in 0.. {
            let pause = Duration::from_millis(self.dice.random_range(20..200));
            if over.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            let (room, agent) = places[self.dice.random_range(0..places.len())];
            let what = self.dice.random_range(0..100);
            match what {
                _ if self.settled.is_cancelled() => {
                    if !self.rig.livekit.view(|view| view.people_in(room)).is_empty() {
                        self.acquire(room, agent, None, json!({})).await;
                    }
                }
                0..55 => drop(self.acquire(room, agent, None, json!({})).await),
                55..63 => self.acquire_once(room, agent, n).await,
                63..70 => drop(self.call(Verb::List, Method::GET, "/v1/dispatches".into(), (room, agent), None).await),
                70..75 => self.of_id(Verb::Get, Method::GET, "", (room, agent), None).await,
                75..80 => self.nonsense(n).await,
                80..86 => self.of_id(Verb::Activity, Method::POST, "/activity", (room, agent), None).await,
                86..90 => {
                    let ttl = self.dice.random_range(1..4);
                    self.of_id(Verb::Ttl, Method::POST, "/ttl", (room, agent), Some(json!({"ttl_seconds": ttl}))).await;
                }
                90..93 => drop(self.acquire(room, agent, None, json!({"ttl_seconds": 1})).await),
                _ if room == STAYS => {}
                93..97 => self.of_id(Verb::End, Method::DELETE, "", (room, agent), None).await,
                _ => {
                    let path = format!("/v1/dispatches?room={room}");
                    self.call(Verb::EndRoom, Method::DELETE, path, (room, ""), None).await;
                }
            }
        }
    }

    async fn acquire(&mut self, room: &str, agent: &str, key: Option<&str>, more: Value) -> Call {
        let mut body = json!({"room": room, "agent": agent});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let call = (Method::POST, "/v1/dispatches".to_owned(), Some(body));
        let call = self.record(Verb::Acquire, call, (room, agent, ""), key, KEY).await;
        if let Some(id) = call.id_told() {
            let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            ids.insert(room.to_owned(), id.to_owned());
        }
        call
    }

    /// The same request with the same key, until it is answered: what a careful client does.
    async fn acquire_once(&mut self, room: &str, agent: &str, n: u64) {
        let key = format!("{}-{n}", self.name);
        for _ in 0..4 {
            let call = self.acquire(room, agent, Some(&key), json!({})).await;
            // Now and then once more although it was answered.
            if call.ok().is_some() && self.dice.random_bool(0.5) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn of_id(&mut self, verb: Verb, method: Method, end: &str, place: (&str, &str), body: Option<Value>) {
        let known = self.ids.lock().unwrap_or_else(PoisonError::into_inner).get(place.0).cloned();
        let Some(id) = known else { return };
        let call = (method, format!("/v1/dispatches/{id}{end}"), body);
        self.record(verb, call, (place.0, place.1, &id), None, KEY).await;
    }

    /// What is refused, and must leave no trace: each in a room of its own.
    async fn nonsense(&mut self, n: u64) {
        let room = format!("refused-{}-{n}", self.name);
        let (body, key) = match self.dice.random_range(0..4) {
            0 => (json!({"room": room, "agent": "no such name"}), KEY),
            1 => (json!({"room": room, "agent": AGENTS[0], "unknown": 1}), KEY),
            2 => (json!({"room": room, "agent": AGENTS[0], "ttl_seconds": 0}), KEY),
            _ => (json!({"room": room, "agent": AGENTS[0]}), "not-the-key"),
        };
        let call = (Method::POST, "/v1/dispatches".to_owned(), Some(body));
        self.record(Verb::Nonsense, call, (&room, AGENTS[0], ""), None, key).await;
    }

    async fn call(
        &mut self,
        verb: Verb,
        method: Method,
        path: String,
        place: (&str, &str),
        body: Option<Value>,
    ) -> Call {
        self.record(verb, (method, path, body), (place.0, place.1, ""), None, KEY).await
    }

    async fn record(
        &mut self,
        verb: Verb,
        (method, path, body): (Method, String, Option<Value>),
        (room, agent, id): (&str, &str, &str),
        key: Option<&str>,
        api_key: &str,
    ) -> Call {
        let replica = self.dice.random_range(0..REPLICAS);
        let url = format!("http://{}{path}", self.rig.replicas[replica].address);
        let mut request = self.client.request(method, url).bearer_auth(api_key);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let invoked = self.history.now();
        let outcome = outcome(request).await;
        let call = Call {
            verb,
            replica,
            room: room.to_owned(),
            agent: agent.to_owned(),
            id: id.to_owned(),
            key: key.map(str::to_owned),
            invoked,
            returned: self.history.now(),
            outcome,
        };
        self.history.calls.add(call.clone());
        call
    }
}
