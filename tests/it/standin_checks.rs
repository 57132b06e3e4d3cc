//! What the stand-in does beyond the recordings: faults, mischief, agents that report, and counting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use greenroom::provider::{ATTRIBUTE_ID, ATTRIBUTE_TOKEN, ATTRIBUTE_URL};
use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_api::services::room::{CreateRoomOptions, RoomClient};
use livekit_protocol::{AgentDispatch, CreateAgentDispatchRequest};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::standin::{Fault, Kind, Method, Mischief, Person, Standin, Timings, WorkerBehaviour};

const SOON: Duration = Duration::from_secs(5);

struct Clients {
    dispatches: AgentDispatchClient,
    rooms: RoomClient,
}

impl Clients {
    fn of(standin: &Standin) -> Self {
        let (url, key, secret) = (standin.url(), standin.api_key(), standin.api_secret());
        Self {
            dispatches: AgentDispatchClient::with_api_key(url, key, secret),
            rooms: RoomClient::with_api_key(url, key, secret),
        }
    }

    async fn create(&self, room: &str, agent: &str) -> Result<AgentDispatch> {
        self.create_with(room, agent, HashMap::new()).await
    }

    async fn create_with(&self, room: &str, agent: &str, attributes: HashMap<String, String>) -> Result<AgentDispatch> {
        let (room, agent_name) = (room.to_owned(), agent.to_owned());
        let request = CreateAgentDispatchRequest { room, agent_name, attributes, ..Default::default() };
        Ok(self.dispatches.create_dispatch(request).await?)
    }
}

async fn start() -> Result<(Standin, Clients)> {
    let standin = Standin::start(Timings::fast()).await?;
    let clients = Clients::of(&standin);
    Ok((standin, clients))
}

async fn working(standin: &Standin, room: &str, agent: &str) -> Result<String> {
    standin.wait_until(|view| !view.working_in(room, agent).is_empty(), SOON).await?;
    let agents = standin.view(|view| view.working_in(room, agent));
    Ok(agents.into_iter().next().context("an agent works")?.sid)
}

#[tokio::test]
async fn the_client_of_the_provider_is_understood() -> Result<()> {
    let (standin, clients) = start().await?;
    standin.add_worker("bot", WorkerBehaviour::session());
    clients.rooms.create_room("r", CreateRoomOptions { departure_timeout: 60, ..Default::default() }).await?;
    let dispatch = clients.create("r", "bot").await?;
    working(&standin, "r", "bot").await?;
    let is_listed = |dispatch: &AgentDispatch| dispatch.state.as_ref().is_some_and(|state| !state.jobs.is_empty());
    standin.wait_until(|view| view.dispatches("r", "bot").iter().any(is_listed), SOON).await?;

    let listed = clients.dispatches.list_dispatch("r").await?;
    ensure!(listed.iter().any(|one| one.id == dispatch.id && is_listed(one)), "{listed:?}");
    let participants = clients.rooms.list_participants("r").await?;
    ensure!(participants.len() == 1 && participants[0].kind() == Kind::Agent, "{participants:?}");
    clients.rooms.get_participant("r", &participants[0].identity).await?;
    clients.dispatches.delete_dispatch(dispatch.id, "r".to_owned()).await?;
    standin.wait_until(|view| view.agents_in("r").is_empty(), SOON).await?;
    ensure!(clients.rooms.list_rooms(vec!["r".to_owned()]).await?[0].departure_timeout == 60);
    clients.rooms.delete_room("r").await?;
    let calls = standin.calls();
    ensure!(calls.len() == 8 && calls.is_sorted_by_key(|call| call.at), "{calls:?}");
    ensure!(standin.created("r", "bot") == 1);
    Ok(())
}

#[tokio::test]
async fn two_dispatches_are_two_agents_and_are_counted() -> Result<()> {
    let (standin, clients) = start().await?;
    let worker = standin.add_worker("bot", WorkerBehaviour::long_lived());
    for room in ["r", "r", "other"] {
        clients.create(room, "bot").await?;
    }
    standin.wait_until(|view| view.overlaps("r", "bot") == 2, SOON).await?;
    working(&standin, "other", "bot").await?;
    ensure!(standin.overlaps("other", "bot") == 1);
    ensure!(standin.created("r", "bot") == 2 && standin.dispatches("r", "bot").len() == 2);
    ensure!(standin.remove_worker(worker));
    ensure!(standin.agents_in("r").is_empty(), "a worker that goes takes its agents along");
    Ok(())
}

#[tokio::test]
async fn a_session_goes_deaf_and_a_long_lived_one_does_not() -> Result<()> {
    let (standin, clients) = start().await?;
    standin.add_worker("deaf", WorkerBehaviour::session());
    standin.add_worker("steady", WorkerBehaviour::long_lived());
    let sid = standin.person_joins("r", "caller", Kind::Sip);
    clients.create("r", "deaf").await?;
    clients.create("r", "steady").await?;
    standin.wait_until(|view| view.agents_in("r").iter().filter(|agent| agent.active).count() == 2, SOON).await?;
    ensure!(standin.person_leaves("r", &sid));
    let agents = standin.agents_in("r");
    ensure!(agents.iter().all(|agent| agent.deaf == (agent.name == "deaf")), "{agents:?}");
    standin.person_joins("r", "caller", Kind::Sip);
    ensure!(standin.view(|view| view.working_in("r", "deaf")).is_empty(), "nothing wakes a deaf agent");
    Ok(())
}

#[tokio::test]
async fn the_dead_stay_until_the_server_notices() -> Result<()> {
    let (standin, clients) = start().await?;
    let worker = standin.add_worker("bot", WorkerBehaviour::session());
    clients.create("r", "bot").await?;
    standin.wait_until(|view| view.agents_in("r").iter().any(|agent| agent.active), SOON).await?;
    let killed_at = Instant::now();
    ensure!(standin.kill_worker(worker) && !standin.kill_worker(worker));
    ensure!(standin.agents_in("r").iter().all(|agent| agent.dead && agent.active));
    standin.wait_until(|view| view.agents_in("r").is_empty(), SOON).await?;
    ensure!(killed_at.elapsed() >= Timings::fast().connection_timeout);
    let person = standin.person_joins("r", "p", Kind::Standard);
    standin.person_vanishes("r", &person);
    ensure!(standin.view(|view| view.people_in("r")).len() == 1);
    standin.wait_until(|view| view.people_in("r").is_empty(), SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_full_or_missing_worker_loses_the_dispatch() -> Result<()> {
    let (standin, clients) = start().await?;
    standin.add_worker("bot", WorkerBehaviour::session().capacity(1));
    clients.create("a", "bot").await?;
    clients.create("b", "bot").await?;
    working(&standin, "a", "bot").await?;
    let names_known = Timings::fast().names_question * 2;
    ensure!(standin.wait_until(|view| !view.agents_in("b").is_empty(), names_known).await.is_err());
    ensure!(standin.dispatches("b", "bot").len() == 1, "it is listed all the same");
    Ok(())
}

#[tokio::test]
async fn a_nameless_worker_comes_unasked() -> Result<()> {
    let (standin, clients) = start().await?;
    standin.add_worker("", WorkerBehaviour::long_lived());
    standin.add_worker("bot", WorkerBehaviour::long_lived());
    clients.create("r", "bot").await?;
    standin.wait_until(|view| view.agents_in("r").len() == 2, SOON).await?;
    Ok(())
}

#[tokio::test]
async fn agents_that_are_late_end_by_themselves_or_die() -> Result<()> {
    let (standin, clients) = start().await?;
    let delay = Duration::from_millis(120);
    standin.add_worker("late", WorkerBehaviour::session().joins_after(delay));
    standin.add_worker("brief", WorkerBehaviour::session().ends_after(delay));
    standin.add_worker("frail", WorkerBehaviour::session().dies_after(delay));
    let asked_at = Instant::now();
    for agent in ["late", "brief", "frail"] {
        clients.create("r", agent).await?;
    }
    standin.wait_until(|view| view.agents_in("r").iter().any(|agent| agent.dead), SOON).await?;
    working(&standin, "r", "late").await?;
    ensure!(asked_at.elapsed() >= delay);
    standin.wait_until(|view| view.agents_in("r").iter().all(|agent| agent.name != "brief"), SOON).await?;
    Ok(())
}

#[tokio::test]
async fn deleting_before_the_job_is_listed_ends_the_agent_later() -> Result<()> {
    let (standin, clients) = start().await?;
    standin.add_worker("bot", WorkerBehaviour::session());
    let dispatch = clients.create("r", "bot").await?;
    clients.dispatches.delete_dispatch(dispatch.id, "r".to_owned()).await?;
    ensure!(standin.dispatches("r", "bot").is_empty());
    working(&standin, "r", "bot").await?;
    standin.wait_until(|view| view.agents_in("r").is_empty(), SOON).await?;
    Ok(())
}

#[tokio::test]
async fn faults_come_as_ordered() -> Result<()> {
    let (standin, clients) = start().await?;
    standin.add_worker("bot", WorkerBehaviour::session());
    let faults = standin.faults();
    let refusing = [
        Fault::status(503),
        Fault::rate_limited(7),
        Fault::html_page(),
        Fault::unreachable(),
        Fault::done_but_reply_lost(),
    ];
    for fault in refusing {
        faults.then(Method::CreateDispatch, fault.times(1));
    }
    for _ in 0..5 {
        ensure!(clients.create("r", "bot").await.is_err());
    }
    ensure!(standin.created("r", "bot") == 1, "only the last did anything");
    ensure!(standin.count_in(Method::CreateDispatch, "r") == 5 && standin.count(Method::DeleteRoom) == 0);
    faults.set(Method::CreateDispatch, Fault::empty_body());
    ensure!(clients.create("r", "bot").await?.id.is_empty());
    faults.clear(Method::CreateDispatch);

    faults.set(Method::CreateDispatch, Fault::lost_dispatch().in_room("lost"));
    clients.create("lost", "bot").await?;
    clients.create("kept", "bot").await?;
    working(&standin, "kept", "bot").await?;
    ensure!(standin.agents_in("lost").is_empty() && standin.dispatches("lost", "bot").len() == 1);

    let slow = Duration::from_millis(80);
    for fault in [Fault::slow(slow), Fault::slow_reply(slow)] {
        faults.set(Method::ListParticipants, fault);
        let asked_at = Instant::now();
        clients.rooms.list_participants("kept").await?;
        ensure!(asked_at.elapsed() >= slow);
    }
    faults.clear_all();
    clients.rooms.list_participants("kept").await?;
    Ok(())
}

#[tokio::test]
async fn a_caller_who_gives_up_does_not_undo_the_call() -> Result<()> {
    let (standin, clients) = start().await?;
    standin.faults().set(Method::CreateDispatch, Fault::slow(Duration::from_millis(60)));
    tokio::select! {
        answer = clients.create("r", "bot") => anyhow::bail!("answered: {answer:?}"),
        arrived = standin.wait_until(|view| view.count(Method::CreateDispatch) == 1, SOON) => arrived?,
    }
    ensure!(standin.created("r", "bot") == 0);
    standin.wait_until(|view| view.created("r", "bot") == 1, SOON).await?;
    Ok(())
}

#[tokio::test]
async fn mischief_with_webhooks() -> Result<()> {
    let (standin, _) = start().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    standin.set_webhook(&format!("http://{}/", listener.local_addr()?));
    let router = Router::new().route("/", post(async || StatusCode::OK));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let events = |standin: &Standin, room: &str| -> Vec<String> {
        let of_room = |event: &livekit_protocol::WebhookEvent| event.room.as_ref().is_some_and(|one| one.name == room);
        let sent = standin.deliveries().into_iter().filter(|delivery| of_room(&delivery.event));
        sent.filter(|delivery| delivery.attempt == 1 && delivery.status == Some(200))
            .map(|delivery| delivery.event.event)
            .collect()
    };

    standin.set_mischief(Mischief::TripleEach);
    standin.person_joins("triple", "p", Kind::Standard);
    standin.wait_for_webhooks(|sent| sent.len() == 6, SOON).await?;
    ensure!(events(&standin, "triple")[..3] == ["room_started"; 3]);

    standin.set_mischief(Mischief::ReversePairs);
    standin.person_joins("reversed", "p", Kind::Standard);
    standin.wait_for_webhooks(|sent| sent.len() == 8, SOON).await?;
    ensure!(events(&standin, "reversed") == ["participant_joined", "room_started"]);

    standin.set_mischief(Mischief::DropAll);
    standin.person_joins("dropped", "p", Kind::Standard);
    standin.wait_until(|view| view.people_in("dropped").iter().any(|person| person.version == 2), SOON).await?;
    standin.set_mischief(Mischief::HoldAll);
    standin.person_joins("held", "p", Kind::Standard);
    standin.wait_until(|view| view.people_in("held").iter().any(|person| person.version == 2), SOON).await?;
    ensure!(standin.deliveries().len() == 8);
    standin.set_mischief(Mischief::None);
    standin.wait_for_webhooks(|sent| sent.len() == 10, SOON).await?;
    ensure!(events(&standin, "held") == ["room_started", "participant_joined"]);
    ensure!(events(&standin, "dropped").is_empty());
    Ok(())
}

/// Where agents report: what they said, and what to answer.
#[derive(Debug, Default)]
struct Reports {
    said: Mutex<Vec<String>>,
    answer: Mutex<u16>,
}

async fn hear(
    State(reports): State<Arc<Reports>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> StatusCode {
    let token = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let state = body["state"].as_str().unwrap_or_default();
    reports.said.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{id} {token} {state}"));
    let answer = *reports.answer.lock().unwrap_or_else(PoisonError::into_inner);
    StatusCode::from_u16(answer).unwrap_or(StatusCode::NO_CONTENT)
}

#[tokio::test]
async fn agents_report_that_they_live() -> Result<()> {
    let (standin, clients) = start().await?;
    let reports = Arc::new(Reports::default());
    let router = Router::new().route("/v1/dispatches/{id}/alive", post(hear)).with_state(reports.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let said = |count: usize| {
        let reports = reports.clone();
        async move {
            let wait = async {
                while reports.said.lock().unwrap_or_else(PoisonError::into_inner).len() < count {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(SOON, wait).await?;
            anyhow::Ok(reports.said.lock().unwrap_or_else(PoisonError::into_inner).clone())
        }
    };
    let attributes = [(ATTRIBUTE_ID, "dsp_1"), (ATTRIBUTE_TOKEN, "secret"), (ATTRIBUTE_URL, url.as_str())];
    let attributes: HashMap<String, String> =
        attributes.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();

    standin.add_worker("bot", WorkerBehaviour::session().reporting());
    let person = standin.person_joins_with("r", Person { identity: "p".to_owned(), ..Person::default() });
    clients.create_with("r", "bot", attributes.clone()).await?;
    ensure!(said(2).await?[..2] == ["dsp_1 Bearer secret open"; 2]);
    let agent = working(&standin, "r", "bot").await?;
    standin.wait_until(|view| view.agents_in("r").iter().all(|agent| agent.active), SOON).await?;
    standin.set_busy("r", &agent, true);
    let before = said(0).await?.len();
    ensure!(said(before + 1).await?.last().is_some_and(|word| word.ends_with("busy")));
    standin.person_leaves("r", &person);
    let wait = async {
        while !said(0).await?.last().is_some_and(|word| word.ends_with("closed")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(SOON, wait).await??;
    ensure!(standin.agents_in("r").len() == 1, "it stays all the same");

    *reports.answer.lock().unwrap_or_else(PoisonError::into_inner) = 410;
    clients.create_with("other", "bot", attributes).await?;
    let spoken = said(0).await?.len();
    said(spoken + 1).await?;
    standin.wait_until(|view| view.agents_in("other").is_empty(), SOON).await?;
    standin.kill_agent("r", &agent);
    ensure!(standin.agents_in("r").iter().all(|agent| agent.dead));
    Ok(())
}

#[tokio::test]
async fn thousands_of_rooms_are_no_burden() -> Result<()> {
    let (standin, _) = start().await?;
    standin.add_worker("bot", WorkerBehaviour::long_lived());
    let clients = Arc::new(Clients::of(&standin));
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..8 {
        let clients = clients.clone();
        tasks.spawn(async move {
            for index in 0..125 {
                clients.create(&format!("room-{lane}-{index}"), "bot").await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    standin.wait_until(|view| view.rooms().iter().all(|room| view.overlaps(room, "bot") == 1), SOON).await?;
    ensure!(standin.view(|view| view.rooms().len()) == 1_000);
    Ok(())
}
