//! The client against a server that says what each test wants; the one against a server that behaves like
//! the real one is in `tests/it/provider.rs`.

use std::collections::VecDeque;
use std::sync::Mutex;

use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::Value;

use super::*;

const SECRET: &str = "a-secret-that-nobody-shall-see";
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// What the server answers to one call: of this method, after this time.
struct Scripted {
    method: &'static str,
    delay: Duration,
    response: Response,
}

fn says(method: &'static str, message: &Value) -> Scripted {
    with(method, StatusCode::OK, JSON, message.to_string())
}

fn with(method: &'static str, status: StatusCode, kind: &'static str, body: impl Into<axum::body::Body>) -> Scripted {
    let response = (status, [(header::CONTENT_TYPE, kind)], body.into()).into_response();
    Scripted { method, delay: Duration::ZERO, response }
}

fn error(method: &'static str, status: StatusCode, code: &str) -> Scripted {
    with(method, status, JSON, format!(r#"{{"code":"{code}","msg":"twirp error unknown: why"}}"#))
}

fn after(delay: Duration, scripted: Scripted) -> Scripted {
    Scripted { delay, ..scripted }
}

const JSON: &str = "application/json";
const NO_ANSWER: &str = "unavailable";

type Script = Arc<Mutex<VecDeque<Scripted>>>;

struct Server {
    livekit: LiveKit,
    script: Script,
}

impl Server {
    async fn start(script: impl IntoIterator<Item = Scripted>) -> Self {
        Self::with_timeout(CALL_TIMEOUT, script).await
    }

    async fn with_timeout(call_timeout: Duration, script: impl IntoIterator<Item = Scripted>) -> Self {
        let script: Script = Arc::new(Mutex::new(script.into_iter().collect()));
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&script));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let livekit = LiveKit::new(&format!("ws://{address}/"), "devkey", &SECRET.into(), call_timeout);
        Self { livekit: livekit.expect("a client"), script }
    }

    /// That all of the script was played.
    fn assert_done(&self) {
        let left: Vec<_> = self.script.lock().expect("a lock").iter().map(|scripted| scripted.method).collect();
        assert!(left.is_empty(), "never asked for: {left:?}");
    }
}

async fn answer(Shared(script): Shared<Script>, request: Request) -> Response {
    let method = request.uri().path().trim_start_matches("/twirp/livekit.").to_owned();
    let scripted = {
        let mut script = script.lock().expect("a lock");
        let index = script.iter().position(|scripted| scripted.method == method);
        index.and_then(|index| script.remove(index))
    };
    let Some(scripted) = scripted else {
        return (StatusCode::IM_A_TEAPOT, format!("unexpected: {method}")).into_response();
    };
    tokio::time::sleep(scripted.delay).await;
    scripted.response
}

const LIST_ROOMS: &str = "RoomService/ListRooms";
const LIST_PARTICIPANTS: &str = "RoomService/ListParticipants";
const LIST_DISPATCH: &str = "AgentDispatchService/ListDispatch";
const DELETE_DISPATCH: &str = "AgentDispatchService/DeleteDispatch";
const CREATE_DISPATCH: &str = "AgentDispatchService/CreateDispatch";
const REMOVE_PARTICIPANT: &str = "RoomService/RemoveParticipant";

fn rooms(names: &[&str]) -> Scripted {
    let rooms: Vec<_> = names.iter().map(|name| json!({"sid": "RM_1", "name": name, "version": null})).collect();
    says(LIST_ROOMS, &json!({"rooms": rooms}))
}

fn participant(sid: &str, kind: impl Into<Value>, state: &str) -> Value {
    json!({"sid": sid, "identity": format!("id-{sid}"), "kind": kind.into(), "state": state,
        "joined_at": "1795246001", "attributes": {}, "kind_details": ["NEVER_HEARD_OF"], "permission": null})
}

fn nobody() -> Scripted {
    says(LIST_PARTICIPANTS, &json!({"participants": []}))
}

#[tokio::test]
async fn a_missing_room_is_told_with_one_call() {
    let server = Server::start([rooms(&[])]).await;
    assert_eq!(server.livekit.look("r1", true).await, Ok(Look::default()));
    server.assert_done();
}

#[tokio::test]
async fn a_room_of_another_name_is_another_room() {
    let server = Server::start([rooms(&["R1", "r11"])]).await;
    assert_eq!(server.livekit.look("r1", true).await, Ok(Look::default()));
}

#[tokio::test]
async fn a_look_sorts_people_agents_and_machines() {
    let mut agent = participant("PA_a", "AGENT", "ACTIVE");
    agent["attributes"] = json!({"lk.agent_name": "bot"});
    let participants = [
        participant("PA_1", "STANDARD", "ACTIVE"),
        participant("PA_2", "SIP", "JOINING"),
        participant("PA_3", "CONNECTOR", "JOINED"),
        participant("PA_4", "HOLOGRAM", "ACTIVE"),
        participant("PA_5", "STANDARD", "DISCONNECTED"),
        participant("PA_6", "EGRESS", "ACTIVE"),
        participant("PA_7", "INGRESS", "ACTIVE"),
        participant("PA_8", "AGENT", "DISCONNECTED"),
        agent,
        participant("PA_b", 4, "JOINING"),
    ];
    let list = says(LIST_PARTICIPANTS, &json!({"participants": participants}));
    let server = Server::start([rooms(&["r1"]), list]).await;
    let look = server.livekit.look("r1", false).await.expect("a look");
    assert!(look.room_exists);
    assert_eq!(look.dispatches, None);
    let people: Vec<_> = look.people.iter().map(|person| person.sid.as_str()).collect();
    assert_eq!(people, ["PA_1", "PA_2", "PA_3", "PA_4"]);
    assert_eq!(look.people[0].joined_at_seconds, 1_795_246_001);
    let named = AgentPresence { identity: "id-PA_a".to_owned(), name: Some("bot".to_owned()) };
    assert_eq!(look.agents, [named, AgentPresence { identity: "id-PA_b".to_owned(), name: None }]);
}

#[tokio::test]
async fn a_look_shows_dispatches_with_a_name_that_are_not_deleted() {
    let entry = |id: &str, agent: &str, deleted_at: &str| {
        let jobs = json!([{"id": "AJ_1", "state": {"participant_identity": "bot-1"}}, {"id": "AJ_2", "state": null}]);
        let state = json!({"jobs": jobs, "created_at": "1795246001216282717", "deleted_at": deleted_at});
        json!({"id": id, "agent_name": agent, "state": state, "restart_policy": "JRP_NEW", "metadata": "m", "attributes": {"k": "v"}})
    };
    let list =
        json!({"agent_dispatches": [entry("AD_1", "", "0"), entry("AD_2", "bot", "5"), entry("AD_3", "bot", "0")]});
    let list = says(LIST_DISPATCH, &list);
    let server = Server::start([rooms(&["r1"]), nobody(), list]).await;
    let look = server.livekit.look("r1", true).await.expect("a look");
    let expected = ProviderDispatch {
        id: "AD_3".to_owned(),
        agent: "bot".to_owned(),
        created_at_seconds: 1_795_246_001,
        job_identities: vec!["bot-1".to_owned(), String::new()],
        metadata: "m".to_owned(),
        attributes: HashMap::from([("k".to_owned(), "v".to_owned())]),
    };
    assert_eq!(look.dispatches, Some(vec![expected]));
}

#[tokio::test]
async fn a_room_that_closes_during_a_look_is_missing_and_told_soon() {
    let hanging = after(Duration::from_secs(3), error(LIST_DISPATCH, StatusCode::SERVICE_UNAVAILABLE, NO_ANSWER));
    let server = Server::start([rooms(&["r1"]), nobody(), hanging, rooms(&[])]).await;
    let start = Instant::now();
    assert_eq!(server.livekit.look("r1", true).await, Ok(Look::default()));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    server.assert_done();
}

#[tokio::test]
async fn an_unavailable_list_of_a_room_that_is_there_is_an_error() {
    let unavailable = || error(LIST_DISPATCH, StatusCode::SERVICE_UNAVAILABLE, NO_ANSWER);
    let server = Server::start([rooms(&["r1"]), nobody(), unavailable(), rooms(&["r1"])]).await;
    assert!(matches!(server.livekit.look("r1", true).await, Err(ProviderError::Unavailable { .. })));
    let server = Server::start([rooms(&["r1"]), nobody(), unavailable(), rooms(&[])]).await;
    assert_eq!(server.livekit.look("r1", true).await, Ok(Look::default()));
}

#[tokio::test]
async fn a_slow_list_of_a_room_that_is_there_is_waited_for() {
    let slow = after(Duration::from_millis(800), says(LIST_DISPATCH, &json!({"agent_dispatches": []})));
    let server = Server::start([rooms(&["r1"]), nobody(), slow, rooms(&["r1"])]).await;
    let look = server.livekit.look("r1", true).await.expect("a look");
    assert_eq!(look.dispatches, Some(vec![]));
    server.assert_done();
}

#[tokio::test]
async fn deleting_what_is_not_there_succeeds() {
    let server = Server::start([rooms(&[])]).await;
    assert_eq!(server.livekit.delete("r1", "AD_1").await, Ok(()));
    let missing = error(DELETE_DISPATCH, StatusCode::NOT_FOUND, "not_found");
    let server = Server::start([rooms(&["r1"]), missing]).await;
    assert_eq!(server.livekit.delete("r1", "AD_1").await, Ok(()));
    server.assert_done();
    let closed = error(DELETE_DISPATCH, StatusCode::SERVICE_UNAVAILABLE, NO_ANSWER);
    let server = Server::start([rooms(&["r1"]), closed, rooms(&[])]).await;
    assert_eq!(server.livekit.delete("r1", "AD_1").await, Ok(()));
    server.assert_done();
    let server = Server::start([error(REMOVE_PARTICIPANT, StatusCode::NOT_FOUND, "not_found")]).await;
    assert_eq!(server.livekit.remove_agent("r1", "bot-1").await, Ok(()));
}

#[tokio::test]
async fn a_proxy_without_a_route_deletes_nothing() {
    let lost = with(DELETE_DISPATCH, StatusCode::NOT_FOUND, "text/plain", "404 page not found");
    let server = Server::start([rooms(&["r1"]), lost]).await;
    assert!(matches!(server.livekit.delete("r1", "AD_1").await, Err(ProviderError::Garbage { .. })));
    let lost = with(REMOVE_PARTICIPANT, StatusCode::NOT_FOUND, "text/plain", "404 page not found");
    let server = Server::start([lost]).await;
    assert!(matches!(server.livekit.remove_agent("r1", "bot-1").await, Err(ProviderError::Garbage { .. })));
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_garbage() {
    for scripted in [
        with(CREATE_DISPATCH, StatusCode::OK, JSON, ""),
        with(CREATE_DISPATCH, StatusCode::OK, JSON, "{}"),
        with(CREATE_DISPATCH, StatusCode::OK, JSON, "[]"),
        with(CREATE_DISPATCH, StatusCode::OK, JSON, r#"{"id":5}"#),
        with(CREATE_DISPATCH, StatusCode::OK, "text/html", "<html>"),
        with(CREATE_DISPATCH, StatusCode::FOUND, "text/html", ""),
    ] {
        let server = Server::start([scripted]).await;
        let answer = server.livekit.create("r1", "bot", "", HashMap::new()).await;
        assert!(matches!(answer, Err(ProviderError::Garbage { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn an_empty_page_of_a_proxy_does_not_say_that_the_room_is_missing() {
    for body in ["", "[]", "<html>"] {
        let server = Server::start([with(LIST_ROOMS, StatusCode::OK, JSON, body)]).await;
        assert!(matches!(server.livekit.look("r1", true).await, Err(ProviderError::Garbage { .. })));
    }
}

#[tokio::test]
async fn nothing_is_sent_on_to_where_a_redirect_points() {
    let mut elsewhere = with(LIST_ROOMS, StatusCode::TEMPORARY_REDIRECT, "text/html", "");
    let location = header::HeaderValue::from_static("/twirp/livekit.RoomService/ListRooms");
    elsewhere.response.headers_mut().insert(header::LOCATION, location);
    let server = Server::start([elsewhere, rooms(&[])]).await;
    let answer = server.livekit.ping().await;
    assert!(matches!(answer, Err(ProviderError::Garbage { .. })), "{answer:?}");
}

#[tokio::test]
async fn an_endless_answer_is_not_taken_in() {
    let server = Server::start([with(LIST_ROOMS, StatusCode::OK, JSON, vec![0u8; 17 << 20])]).await;
    let answer = server.livekit.look("r1", true).await;
    assert!(matches!(&answer, Err(ProviderError::Garbage { detail }) if detail.contains("16 MiB")), "{answer:?}");
}

#[tokio::test]
async fn no_answer_is_told_in_time() {
    let timeout = Duration::from_millis(200);
    let late = after(Duration::from_secs(5), rooms(&[]));
    let server = Server::with_timeout(timeout, [late]).await;
    let start = Instant::now();
    assert_eq!(server.livekit.look("r1", true).await, Err(ProviderError::Timeout));
    assert!(start.elapsed() < Duration::from_secs(1));
    // Each of the calls is in time, but not all of them together.
    let slow = |scripted| after(Duration::from_millis(120), scripted);
    let server = Server::with_timeout(timeout, [slow(rooms(&["r1"])), slow(nobody())]).await;
    assert_eq!(server.livekit.look("r1", false).await, Err(ProviderError::Timeout));
}

#[tokio::test]
async fn no_server_is_unavailable_and_the_detail_says_why() {
    let livekit = LiveKit::new("http://127.0.0.1:1", "devkey", &SECRET.into(), CALL_TIMEOUT).expect("a client");
    let answer = livekit.ping().await;
    let Err(ProviderError::Unavailable { detail }) = answer else { panic!("{answer:?}") };
    assert!(detail.contains("refused"), "{detail}");
}

#[tokio::test]
async fn too_many_calls_are_told_with_the_wait() {
    let mut limited = with(LIST_ROOMS, StatusCode::TOO_MANY_REQUESTS, "text/plain", "slow down");
    limited.response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("3"));
    let server = Server::start([limited]).await;
    let expected = ProviderError::RateLimited { retry_after: Some(Duration::from_secs(3)) };
    assert_eq!(server.livekit.ping().await, Err(expected));
}

#[test]
fn nothing_secret_is_shown() {
    let livekit = LiveKit::new("wss://x.livekit.cloud", "devkey", &SECRET.into(), CALL_TIMEOUT).expect("a client");
    let shown = format!("{livekit:?}");
    assert!(shown.contains("wss://x.livekit.cloud") && shown.contains("devkey"), "{shown}");
    assert!(!shown.contains(SECRET), "{shown}");
}

#[test]
fn addresses_in_all_spellings() {
    for (text, http, ws) in [
        ("ws://h:7880", "http://h:7880", "ws://h:7880"),
        ("wss://h/", "https://h", "wss://h"),
        ("http://H:7880/", "http://h:7880", "ws://h:7880"),
        ("https://h/livekit/", "https://h/livekit", "wss://h/livekit"),
        ("ws://[::1]:7880", "http://[::1]:7880", "ws://[::1]:7880"),
    ] {
        assert_eq!(addresses(text).expect("an address"), (http.to_owned(), ws.to_owned()));
    }
    for text in ["", "h:7880", "ftp://h", "ws://", "ws://user:pass@h", "ws://h?a=b", "ws://h#a"] {
        let error = addresses(text).expect_err(text).to_string();
        assert!(!error.contains("pass@"), "{error}");
    }
}

#[test]
fn empty_credentials_are_refused() {
    for (key, secret) in [("", "s"), ("k", "")] {
        let answer = LiveKit::new("ws://h", key, &secret.into(), CALL_TIMEOUT);
        assert!(matches!(answer, Err(SetupError::NoCredentials)));
    }
}
