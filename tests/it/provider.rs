//! The LiveKit client, against the stand-in; and, where `LIVEKIT_URL`, `LIVEKIT_API_KEY` and
//! `LIVEKIT_API_SECRET` are set, against that server, which must be one for tests.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use greenroom::dispatch::{NoticeKind, RoomNotice};
use greenroom::provider::livekit::LiveKit;
use greenroom::provider::{Look, Provider, ProviderError, RoomTimeouts};
use secrecy::SecretString;
use tokio::sync::mpsc;

use crate::standin::{Fault, Kind, Method, Standin, Timings, WorkerBehaviour};

const AGENT: &str = "provider-suite";
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUTS: RoomTimeouts = RoomTimeouts { empty_timeout_seconds: 60, departure_timeout_seconds: 30 };
/// The longest that a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server under test.
struct Server {
    url: String,
    api_key: String,
    api_secret: String,
    /// Keeps the stand-in running; none where a real server is used.
    _standin: Option<Standin>,
}

impl Server {
    async fn start() -> Self {
        // Another test may have installed it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let setting = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        if let Some(url) = setting("LIVEKIT_URL") {
            let api_key = setting("LIVEKIT_API_KEY").expect("LIVEKIT_API_KEY goes with LIVEKIT_URL");
            let api_secret = setting("LIVEKIT_API_SECRET").expect("LIVEKIT_API_SECRET goes with LIVEKIT_URL");
            return Self { url, api_key, api_secret, _standin: None };
        }
        let standin = start_standin().await;
        Self {
            url: standin.url().to_owned(),
            api_key: standin.api_key().to_owned(),
            api_secret: standin.api_secret().to_owned(),
            _standin: Some(standin),
        }
    }

    fn livekit(&self) -> LiveKit {
        connect(&self.url, &self.api_key, &self.api_secret)
    }

    fn provider(&self) -> Provider {
        Provider::LiveKit(self.livekit())
    }
}

/// With the real durations: what takes 3 s there must not be waited for.
async fn start_standin() -> Standin {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Standin::start(Timings::default()).await.expect("a stand-in")
}

fn connect(url: &str, api_key: &str, api_secret: &str) -> LiveKit {
    LiveKit::new(url, api_key, &SecretString::from(api_secret), CALL_TIMEOUT).expect("a client")
}

fn standin_provider(standin: &Standin) -> Provider {
    Provider::LiveKit(connect(standin.url(), standin.api_key(), standin.api_secret()))
}

/// A name that no other run uses.
fn room(test: &str) -> String {
    format!("greenroom-{test}-{}", uuid::Uuid::now_v7())
}

fn attributes() -> HashMap<String, String> {
    HashMap::from([("greenroom.dispatch_id".to_owned(), "d1".to_owned()), ("odd \"key\"".to_owned(), "é\n".to_owned())])
}

fn seconds_since_1970() -> i64 {
    chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp()
}

#[tokio::test]
async fn a_dispatch_is_made_listed_and_deleted() {
    let server = Server::start().await;
    let provider = server.provider();
    let room = room("life");
    provider.ensure_room(&room, TIMEOUTS).await.expect("a room");
    provider.ensure_room(&room, TIMEOUTS).await.expect("the same room");
    let made = provider.create(&room, AGENT, "{\"order\":1}", attributes()).await.expect("a dispatch");
    assert!(!made.id.is_empty());
    assert_eq!((made.agent.as_str(), &made.attributes), (AGENT, &attributes()));
    assert!((made.created_at_seconds - seconds_since_1970()).abs() < 60, "{made:?}");

    let look = provider.look(&room, AGENT, true).await.expect("a look");
    assert!(look.room_exists && look.people.is_empty() && look.agents.is_empty(), "{look:?}");
    assert_eq!(look.dispatches, Some(vec![made.clone()]));
    assert_eq!(provider.look(&room, AGENT, false).await.expect("a look").dispatches, None);

    for _ in 0..2 {
        assert_eq!(provider.delete(&room, &made.id).await, Ok(()));
        assert_eq!(provider.look(&room, AGENT, true).await.expect("a look").dispatches, Some(vec![]));
    }
}

#[tokio::test]
async fn the_provider_does_not_deduplicate() {
    let server = Server::start().await;
    let provider = server.provider();
    let room = room("twice");
    let first = provider.create(&room, AGENT, "", HashMap::new()).await.expect("a dispatch, and its room");
    let second = provider.create(&room, AGENT, "", HashMap::new()).await.expect("a dispatch");
    assert_ne!(first.id, second.id);
    assert_eq!(provider.look(&room, AGENT, true).await.expect("a look").dispatches.expect("dispatches").len(), 2);
    for made in [first, second] {
        assert_eq!(provider.delete(&room, &made.id).await, Ok(()));
    }
}

#[tokio::test]
async fn a_missing_room_is_told_at_once() {
    let server = Server::start().await;
    let provider = server.provider();
    let room = room("missing");
    let start = Instant::now();
    assert_eq!(provider.look(&room, AGENT, true).await, Ok(Look::default()));
    assert_eq!(provider.look(&room, AGENT, false).await, Ok(Look::default()));
    assert_eq!(provider.delete(&room, "AD_nothing").await, Ok(()));
    assert_eq!(provider.remove_agent(&room, "nobody").await, Ok(()));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_is_not_in_the_room_counts_as_removed() {
    let server = Server::start().await;
    let provider = server.provider();
    let room = room("nothing");
    provider.ensure_room(&room, TIMEOUTS).await.expect("a room");
    assert_eq!(provider.delete(&room, "AD_nothing").await, Ok(()));
    assert_eq!(provider.remove_agent(&room, "nobody").await, Ok(()));
}

#[tokio::test]
async fn wrong_credentials_are_rejected_and_no_token_is_told() {
    let server = Server::start().await;
    for (key, secret) in [(server.api_key.as_str(), "another-secret"), ("another-key", &server.api_secret)] {
        let livekit = connect(&server.url, key, secret);
        let error = livekit.ping().await.expect_err("a refusal");
        let provider = Provider::LiveKit(livekit);
        let errors = [
            error,
            provider.look("r1", AGENT, true).await.expect_err("a refusal"),
            provider.create("r1", AGENT, "", HashMap::new()).await.expect_err("a refusal"),
            provider.ensure_room("r1", TIMEOUTS).await.expect_err("a refusal"),
            provider.delete("r1", "AD_1").await.expect_err("a refusal"),
            provider.remove_agent("r1", "bot").await.expect_err("a refusal"),
        ];
        for error in errors {
            let ProviderError::Rejected { code, detail } = &error else { panic!("{error:?}") };
            assert_eq!(code, "unauthenticated");
            assert!(detail.starts_with("401: invalid"), "{detail}");
            assert!(!format!("{error:?} {error}").contains("eyJ"), "{error:?}");
            assert!(!error.is_retryable());
        }
    }
}

#[tokio::test]
async fn what_is_too_large_is_rejected() {
    let server = Server::start().await;
    let provider = server.provider();
    let room = room("large");
    let made = provider.create(&room, AGENT, &"x".repeat(512 << 10), HashMap::new()).await.expect("a dispatch");
    assert_eq!(provider.delete(&room, &made.id).await, Ok(()));
    let too_large = [
        provider.create(&room, AGENT, &"x".repeat((512 << 10) + 1), HashMap::new()).await,
        provider.create(&room, AGENT, "", HashMap::from([("k".to_owned(), "x".repeat(70_000))])).await,
    ];
    for answer in too_large {
        assert!(
            matches!(&answer, Err(ProviderError::Rejected { code, .. }) if code == "invalid_argument"),
            "{answer:?}"
        );
    }
    let long = provider.ensure_room(&"r".repeat(400), TIMEOUTS).await;
    assert!(matches!(&long, Err(ProviderError::Rejected { code, .. }) if code == "invalid_argument"), "{long:?}");
}

#[tokio::test]
async fn odd_names_stay_as_they_are() {
    let server = Server::start().await;
    let provider = server.provider();
    for odd in ["a b", "a/b?c#d", "{a}:*", "é\u{1f600}", "a\nb", "%41", "\"q\""] {
        let room = format!("{}{odd}", room("odd"));
        let made = provider.create(&room, odd, odd, HashMap::new()).await.expect(odd);
        let look = provider.look(&room, AGENT, true).await.expect(odd);
        assert_eq!(look.dispatches, Some(vec![made.clone()]), "{odd:?}");
        assert_eq!(provider.delete(&room, &made.id).await, Ok(()));
    }
}

#[tokio::test]
async fn ping_measures_an_authenticated_call() {
    let server = Server::start().await;
    let latency = server.livekit().ping().await.expect("an answer");
    assert!(latency > Duration::ZERO && latency < CALL_TIMEOUT);
    assert!(server.livekit().url().starts_with("ws"));
}

// What follows needs people, workers or faults, and so the stand-in.

#[tokio::test]
async fn people_and_agents_are_seen_and_an_agent_can_be_removed() {
    let standin = start_standin().await;
    let provider = standin_provider(&standin);
    standin.add_worker(AGENT, WorkerBehaviour::session());
    let made = provider.create("r1", AGENT, "", HashMap::new()).await.expect("a dispatch");
    let person = standin.person_joins("r1", "ann", Kind::Standard);
    let caller = standin.person_joins("r1", "+49", Kind::Sip);
    standin.person_joins("r1", "recorder", Kind::Egress);
    standin.wait_until(|view| view.agents_in("r1").iter().any(|agent| agent.active), PATIENCE).await.expect("an agent");

    let look = provider.look("r1", AGENT, true).await.expect("a look");
    let mut people: Vec<_> = look.people.iter().map(|person| person.sid.clone()).collect();
    people.sort();
    let mut expected = [person, caller];
    expected.sort();
    assert_eq!(people, expected);
    assert!(look.people.iter().all(|person| (person.joined_at_seconds - seconds_since_1970()).abs() < 60));
    let [agent] = look.agents.as_slice() else { panic!("{look:?}") };
    assert_eq!(agent.name.as_deref(), Some(AGENT));
    assert_eq!(look.dispatches.expect("dispatches")[0].id, made.id);

    assert_eq!(provider.remove_agent("r1", &agent.identity).await, Ok(()));
    standin.wait_until(|view| view.agents_in("r1").is_empty(), PATIENCE).await.expect("no agent");
    assert_eq!(provider.look("r1", AGENT, false).await.expect("a look").agents, []);
}

type Check = fn(&ProviderError) -> bool;

#[tokio::test]
async fn each_fault_has_its_error() {
    let standin = start_standin().await;
    let livekit = LiveKit::new(
        standin.url(),
        standin.api_key(),
        &SecretString::from(standin.api_secret()),
        Duration::from_millis(500),
    );
    let provider = Provider::LiveKit(livekit.expect("a client"));
    let is_unavailable: Check = |error: &ProviderError| matches!(error, ProviderError::Unavailable { .. });
    let is_garbage: Check = |error: &ProviderError| matches!(error, ProviderError::Garbage { .. });
    let is_limited =
        |error: &ProviderError| *error == ProviderError::RateLimited { retry_after: Some(Duration::from_secs(7)) };
    let is_timeout: Check = |error: &ProviderError| *error == ProviderError::Timeout;
    let cases: [(Fault, Check); 9] = [
        (Fault::status(500), is_unavailable),
        (Fault::status(503), is_unavailable),
        (Fault::rate_limited(7), is_limited),
        (Fault::html_page(), is_unavailable),
        (Fault::empty_body(), is_garbage),
        (Fault::unreachable(), is_unavailable),
        (Fault::done_but_reply_lost(), is_unavailable),
        (Fault::slow(Duration::from_secs(2)), is_timeout),
        (Fault::slow_reply(Duration::from_secs(2)), is_timeout),
    ];
    for (fault, is_expected) in cases {
        standin.faults().set(Method::CreateDispatch, fault.clone());
        standin.faults().set(Method::ListRooms, fault.clone());
        let created = provider.create("r1", AGENT, "", HashMap::new()).await.expect_err("a fault");
        assert!(is_expected(&created), "{fault:?}: {created:?}");
        let looked = provider.look("r1", AGENT, true).await.expect_err("a fault");
        assert!(is_expected(&looked), "{fault:?}: {looked:?}");
    }
}

/// What the stand-in's webhooks say when received with the client's own check.
async fn notices(standin: &Standin) -> mpsc::Receiver<RoomNotice> {
    let (sender, receiver) = mpsc::channel(100);
    let livekit = connect(standin.url(), standin.api_key(), standin.api_secret());
    let hook = async |State((livekit, sender)): State<(LiveKit, mpsc::Sender<RoomNotice>)>,
                      headers: HeaderMap,
                      body: axum::body::Bytes| {
        let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        match livekit.receive(authorization, &body) {
            Ok(Some(notice)) => sender.send(notice).await.map_or(StatusCode::GONE, |()| StatusCode::OK),
            Ok(None) => StatusCode::OK,
            Err(error) => panic!("{error}"),
        }
    };
    let router = axum::Router::new().fallback(hook).with_state((livekit, sender));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    standin.set_webhook(&format!("http://{address}/hook"));
    receiver
}

#[tokio::test]
async fn webhooks_and_looks_name_the_same_people() {
    let standin = start_standin().await;
    let provider = standin_provider(&standin);
    let mut notices = notices(&standin).await;
    let mut next = async || {
        let notice = tokio::time::timeout(PATIENCE, notices.recv()).await.expect("in time").expect("a notice");
        assert_eq!(notice.room, "r1");
        assert!(!notice.event_id.is_empty() && notice.created_at_seconds > 1_700_000_000);
        notice.kind
    };
    provider.ensure_room("r1", RoomTimeouts { departure_timeout_seconds: 1, ..TIMEOUTS }).await.expect("a room");
    let sid = standin.person_joins("r1", "ann", Kind::Standard);
    let NoticeKind::PersonJoined(joined) = next().await else { panic!("someone joined") };
    assert_eq!(joined.sid, sid);
    assert_eq!(provider.look("r1", AGENT, false).await.expect("a look").people, std::slice::from_ref(&joined));
    assert!(standin.person_leaves("r1", &sid));
    assert_eq!(next().await, NoticeKind::PersonLeft(joined));
    assert_eq!(next().await, NoticeKind::RoomFinished);
    assert_eq!(provider.look("r1", AGENT, true).await, Ok(Look::default()));
}

#[tokio::test]
async fn a_room_that_closes_during_a_look_is_told_soon() {
    let standin = start_standin().await;
    let provider = standin_provider(&standin);
    let brief = RoomTimeouts { empty_timeout_seconds: 1, departure_timeout_seconds: 1 };
    provider.ensure_room("r1", brief).await.expect("a room");
    // The dispatches are asked for while the room is there, and looked up when it is not.
    standin.faults().set(Method::ListDispatch, Fault::slow(Duration::from_millis(2500)));
    let start = Instant::now();
    assert_eq!(provider.look("r1", AGENT, true).await, Ok(Look::default()));
    assert!(start.elapsed() < Duration::from_millis(2400), "{:?}", start.elapsed());
    standin.faults().set(Method::DeleteDispatch, Fault::slow(Duration::from_millis(2500)));
    provider.ensure_room("r1", brief).await.expect("a room");
    let start = Instant::now();
    assert_eq!(provider.delete("r1", "AD_1").await, Ok(()));
    assert!(start.elapsed() < Duration::from_millis(2400), "{:?}", start.elapsed());
}
