//! Does what a recording says was done, and compares what comes back.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Client;
use serde_json::Value;
use tokio::time::Instant;

use super::compare::{Webhooks, answers, compare_webhooks, forget_joining};
use super::mask::{Ids, lengthened};
use super::receiver::Receiver;
use super::tokens::{Credentials, token};
use crate::standin::{Kind, Method, Person, Standin, Timings, WorkerBehaviour};

/// How much faster than recorded.
const HASTE: u32 = 20;
/// How long something may take that was polled for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much later than recorded something may be seen.
const GRACE: Duration = Duration::from_millis(100);
/// How much delays of this machine may add up to.
const JITTER: Duration = Duration::from_millis(25);

/// A server to call.
#[derive(Debug)]
pub(super) struct Target {
    url: String,
    credentials: Credentials,
    haste: u32,
}

impl Target {
    /// The real server that the environment names, if it does.
    pub(super) fn real_server() -> Option<Self> {
        let variable = |name| std::env::var(name).ok();
        let credentials = Credentials { key: variable("LIVEKIT_API_KEY")?, secret: variable("LIVEKIT_API_SECRET")? };
        let url = variable("LIVEKIT_URL")?.replacen("ws", "http", 1);
        Some(Self { url: url.trim_end_matches('/').to_owned(), credentials, haste: 1 })
    }
}

/// All durations of the real server divided alike, but for the moment of joining: that is drawn out to
/// `joining`, so that what was done within it is sure to be done within it.
fn timings(joining: Duration) -> Timings {
    let real = Timings::default();
    Timings {
        room_second: real.room_second / HASTE,
        missing_room: real.missing_room / HASTE,
        job_start: real.job_start / HASTE,
        names_question: real.names_question / HASTE,
        names_kept: real.names_kept / HASTE,
        agent_join: real.agent_join / HASTE,
        activation: joining / HASTE,
        agent_removal: real.agent_removal / HASTE,
        connection_timeout: real.connection_timeout / HASTE,
        count_refresh: real.count_refresh / HASTE,
        webhook_waits: real.webhook_waits.map(|wait| wait / HASTE),
        ..real
    }
}

/// Replays a recording against the stand-in.
pub(super) async fn replay(recording: &str, webhooks: Webhooks) -> Result<()> {
    replay_joining_for(recording, webhooks, Duration::from_millis(100)).await
}

/// The same, with everyone `JOINED` for as long as `joining` before they are `ACTIVE`.
pub(super) async fn replay_joining_for(recording: &str, webhooks: Webhooks, joining: Duration) -> Result<()> {
    let steps = read(recording)?;
    let standin = Standin::start(timings(joining)).await?;
    let credentials = Credentials { key: standin.api_key().to_owned(), secret: standin.api_secret().to_owned() };
    let receiver = Receiver::start(&credentials, answers(&steps)).await?;
    standin.set_webhook(&receiver.url);
    let target = Target { url: standin.url().to_owned(), credentials, haste: HASTE };
    let mut run = Run::new(&target, Some(&standin));
    for (index, step) in steps.iter().enumerate() {
        run.step(step).await.with_context(|| format!("{recording}, step {index}: {}", describe(step)))?;
    }
    compare_webhooks(&steps, &receiver, webhooks).await.with_context(|| format!("webhooks of {recording}"))?;
    receiver.check()
}

/// Replays what needs neither people nor workers.
pub(super) async fn replay_at_real_server(target: &Target, recording: &str) -> Result<()> {
    let steps = read(recording)?;
    let mut run = Run::new(target, None);
    run.delete_rooms(&steps).await?;
    for (index, step) in steps.iter().enumerate() {
        let needs_actors = ["a worker registered", "a person connects"].iter().any(|text| note(step).starts_with(text));
        if needs_actors {
            break;
        }
        run.step(step).await.with_context(|| format!("{recording}, step {index}: {}", describe(step)))?;
    }
    run.delete_rooms(&steps).await
}

fn read(recording: &str) -> Result<Vec<Value>> {
    let path = format!("{}/tests/fixtures/livekit/{recording}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    Ok(serde_json::from_str(&text)?)
}

fn describe(step: &Value) -> String {
    format!("{} {} {}", step["kind"].as_str().unwrap_or_default(), step["method"], step["note"])
}

/// The text of a note; empty for other steps.
fn note(step: &Value) -> &str {
    if step["kind"] == "note" { step["text"].as_str().unwrap_or_default() } else { "" }
}

struct Run<'a> {
    target: &'a Target,
    standin: Option<&'a Standin>,
    client: Client,
    ids: Ids,
    /// When the recording's time zero was; later whenever something took longer.
    zero: Instant,
    rooms_of_people: HashMap<String, String>,
}

impl<'a> Run<'a> {
    fn new(target: &'a Target, standin: Option<&'a Standin>) -> Self {
        let (client, ids, zero) = (Client::new(), Ids::default(), Instant::now());
        Self { target, standin, client, ids, zero, rooms_of_people: HashMap::new() }
    }

    async fn step(&mut self, step: &Value) -> Result<()> {
        let is_polled = step["note"].as_str().is_some_and(|note| note.contains("polled every"));
        let due = self.due(step);
        if step["kind"] == "webhook" && !self.stands_for_an_act(&step["body"]) {
            return Ok(());
        }
        if is_polled {
            self.poll(step, PATIENCE * if self.standin.is_some() { 1 } else { 10 }).await?;
            let early = due.saturating_duration_since(Instant::now());
            ensure!(early <= polled_for(step) * 3 / 10 / self.target.haste + JITTER, "{early:?} too early");
        } else {
            tokio::time::sleep_until(due).await;
        }
        // What comes next is no sooner after this than it was.
        self.zero += Instant::now().saturating_duration_since(due);
        match step["kind"].as_str() {
            Some("call") if is_polled => Ok(()),
            Some("call") => {
                if step["method"].as_str().is_some_and(|method| method.contains("/List")) && step["status"] == 200 {
                    // What was seen at a moment may be seen a little later here.
                    return self.poll(step, GRACE).await;
                }
                self.call(step).await
            }
            Some("webhook") => {
                self.person_leaves(&step["body"]);
                self.make_room(&step["body"]).await
            }
            _ => self.note(step).await,
        }
    }

    fn due(&self, step: &Value) -> Instant {
        self.zero + Duration::from_millis(step["t_ms"].as_u64().unwrap_or_default()) / self.target.haste
    }

    /// Asks until the answer is the recorded one.
    async fn poll(&mut self, step: &Value, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            match self.call(step).await {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    }

    async fn call(&mut self, step: &Value) -> Result<()> {
        let method = step["method"].as_str().context("a call has a method")?;
        let url = format!("{}/twirp/livekit.{method}", self.target.url);
        let verb = step["http_method"].as_str().unwrap_or("POST").parse()?;
        let mut request = self.client.request(verb, url);
        if !step["grants"].is_null() {
            let grants = lengthened(&step["grants"]);
            request = request.bearer_auth(token(&self.target.credentials, &grants, step["token"].as_str())?);
        }
        let content_type = match step.get("request_content_type") {
            None => Some("application/json"),
            Some(given) => given.as_str(),
        };
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let body = match (&step["request_text"], &step["request"]) {
            (Value::String(_), _) if content_type == Some("application/protobuf") => vec![0xff, 0xff],
            (Value::String(text), _) => text.clone().into_bytes(),
            (_, Value::Null) => Vec::new(),
            (_, value) => self.ids.translate(&lengthened(value)).to_string().into_bytes(),
        };
        let asked_at = Instant::now();
        let response = request.body(body).send().await?;
        let waited = step["ms"].as_f64().unwrap_or_default() > 2_900.0;
        ensure!(
            asked_at.elapsed() >= Duration::from_millis(if waited { 2_900 } else { 0 }) / self.target.haste,
            "answered too early"
        );
        let status = response.status().as_u16();
        let found_type =
            response.headers().get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text = response.text().await?;
        ensure!(step["status"] == status, "status {status} instead of {}: {text:.300}", step["status"]);
        ensure!(step["headers"]["content-type"].as_str() == found_type.as_deref(), "content type {found_type:?}");
        self.compare_body(step, &text)
    }

    fn compare_body(&mut self, step: &Value, text: &str) -> Result<()> {
        if let Some(recorded) = step["response_text"].as_str() {
            let echoed = recorded.split("<token>").collect::<Vec<_>>();
            let same = match echoed.as_slice() {
                [head, tail] => text.starts_with(head) && text.ends_with(tail) && text.matches('.').count() >= 2,
                _ => text == recorded,
            };
            ensure!(same, "text {text:?} instead of {recorded:?}");
            return Ok(());
        }
        let found: Value = serde_json::from_str(text).with_context(|| format!("not JSON: {text:.300}"))?;
        let recorded = &step["response"];
        let (mut wanted, mut masked) = (self.ids.mask(&self.ids.translate(recorded)), self.ids.mask(&found));
        for answer in [&mut wanted, &mut masked] {
            forget_joining(answer);
        }
        ensure!(wanted == masked, "answer\n{masked}\ninstead of\n{wanted}");
        self.ids.learn(recorded, &found);
        Ok(())
    }

    async fn note(&mut self, step: &Value) -> Result<()> {
        let text = note(step);
        if step.get("status").is_some() {
            return self.odd_call(step, text).await;
        }
        let Some(standin) = self.standin else { return Ok(()) };
        if text.starts_with("a worker registered") {
            let behaviour = behaviour(step["mode"].as_str().unwrap_or_default())?;
            standin.add_worker(step["agent_name"].as_str().unwrap_or_default(), behaviour);
        } else if text.starts_with("a person connects") {
            let room = step["room"].as_str().unwrap_or_default();
            let person = person(step)?;
            self.rooms_of_people.insert(person.identity.clone(), room.to_owned());
            standin.person_joins_with(room, person);
        } else if text.starts_with("kill -9 of the worker") {
            let agent = standin.view(|view| view.rooms().iter().flat_map(|room| view.agents_in(room)).next());
            standin.kill_worker(agent.context("there is no agent to kill")?.worker);
        } else if let Some((identity, _)) = text.split_once(": rtc event disconnected") {
            self.leave(identity);
        }
        Ok(())
    }

    /// Whether something was done that the recording shows by its webhook alone.
    fn stands_for_an_act(&self, body: &Value) -> bool {
        let name = body["room"]["name"].as_str().unwrap_or_default();
        let is_known = self.standin.is_none_or(|standin| standin.view(|view| view.room(name).is_some()));
        (body["event"] == "room_started" && !is_known) || body["participant"].get("kind").is_none()
    }

    /// The recorder noted that somebody left, or a webhook says so first.
    fn person_leaves(&self, body: &Value) {
        let participant = &body["participant"];
        let is_person = participant.get("kind").is_none();
        if body["event"] == "participant_left" && is_person && participant["disconnectReason"] == "CLIENT_INITIATED" {
            self.leave(participant["identity"].as_str().unwrap_or_default());
        }
    }

    /// A webhook of a room whose `CreateRoom` was left out of the recording.
    async fn make_room(&self, body: &Value) -> Result<()> {
        let Some(standin) = self.standin else { return Ok(()) };
        let name = body["room"]["name"].as_str().unwrap_or_default();
        let is_missing = body["event"] == "room_started" && standin.count_in(Method::CreateRoom, name) == 0;
        if !is_missing || standin.view(|view| view.room(name).is_some()) {
            return Ok(());
        }
        let token = token(&self.target.credentials, &serde_json::json!({"roomCreate": true}), None)?;
        let url = format!("{}/twirp/livekit.RoomService/CreateRoom", self.target.url);
        self.client.post(url).bearer_auth(token).json(&serde_json::json!({"name": name})).send().await?;
        Ok(())
    }

    fn leave(&self, identity: &str) {
        let (Some(standin), Some(room)) = (self.standin, self.rooms_of_people.get(identity)) else { return };
        let people = standin.view(|view| view.people_in(room));
        for person in people.iter().filter(|person| person.identity == identity) {
            standin.person_leaves(room, &person.sid);
        }
    }

    /// Two calls that the recorder put down as notes.
    async fn odd_call(&mut self, step: &Value, text: &str) -> Result<()> {
        let grants = serde_json::json!({"roomAdmin": true, "room": "err-1"});
        let token = token(&self.target.credentials, &grants, None)?;
        let url = format!("{}/twirp/livekit.AgentDispatchService/CreateDispatch", self.target.url);
        let request = match text {
            "the right token without \"Bearer \"" => self.client.post(url).header("authorization", token),
            "the right token as ?access_token=" => self.client.post(format!("{url}?access_token={token}")),
            other => bail!("no idea what to do for: {other}"),
        };
        let body = serde_json::json!({"room": "err-1", "agent_name": "a"});
        let response = request.json(&body).send().await?;
        ensure!(step["status"] == response.status().as_u16(), "status {}", response.status());
        self.compare_body(step, &response.text().await?)
    }

    async fn delete_rooms(&self, steps: &[Value]) -> Result<()> {
        let asked = steps.iter().filter(|step| step["kind"] == "call").map(|step| &step["request"]);
        for name in asked.filter_map(|request| request.get("room").or_else(|| request.get("name"))?.as_str()) {
            let grants = serde_json::json!({"roomCreate": true});
            let url = format!("{}/twirp/livekit.RoomService/DeleteRoom", self.target.url);
            let token = token(&self.target.credentials, &grants, None)?;
            self.client.post(url).bearer_auth(token).json(&serde_json::json!({"room": name})).send().await?;
        }
        Ok(())
    }
}

/// How long the recorder had to poll; what took less than a second may come at any time.
fn polled_for(step: &Value) -> Duration {
    let said = step["note"].as_str().and_then(|note| note.split_once(" ms after the first"));
    let ms = said.and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok()).unwrap_or_default();
    if ms < 1_000 { Duration::from_hours(1) } else { Duration::from_millis(ms) }
}

/// The recorder's workers.
fn behaviour(mode: &str) -> Result<WorkerBehaviour> {
    let two_seconds = Duration::from_secs(2) / HASTE;
    Ok(match mode {
        "plain" => WorkerBehaviour::stubborn(),
        "named" => WorkerBehaviour::stubborn().presents("bot", "Bot name", "agent metadata", &[("set_by", "worker")]),
        "reject" => WorkerBehaviour::rejecting(),
        "session" => WorkerBehaviour::session(),
        "session_noclose" => WorkerBehaviour::long_lived(),
        "quit" | "raise" => WorkerBehaviour::stubborn().ends_after(two_seconds),
        other => bail!("no idea what a worker does in mode {other}"),
    })
}

fn person(step: &Value) -> Result<Person> {
    let claims = &step["token_claims"];
    let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    let attributes = claims.get("attributes").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let room_config = claims.get("roomConfig").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    Ok(Person {
        identity: step["identity"].as_str().unwrap_or_default().to_owned(),
        kind: Kind::Standard,
        name: text("name"),
        metadata: text("metadata"),
        attributes: serde_json::from_value(attributes)?,
        room_config: serde_json::from_value(room_config)?,
    })
}
