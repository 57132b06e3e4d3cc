//! Twenty sessions on workers of their own, and what breaks beside them: Redis, or their runner.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::runner_desk::{ask, demo};
use crate::support::eventually;
use crate::support::process::is_running;
use crate::support::yard::{POOL, Yard};

const SESSIONS: u16 = 20;

/// As many workers as sessions, with time for each step on a machine that is busy.
fn pool() -> Value {
    json!({"min": SESSIONS, "max": SESSIONS, "spare": 0, "starts_max": SESSIONS, "assign_ms": 20_000, "reset_ms": 20_000})
}

/// A session, what it told its worker, and the process that this is.
struct Session {
    lease: Value,
    phrase: String,
    pid: u32,
}

/// A yard where each worker has a session. A runner is believed for so long.
async fn yard_of_sessions(believed_ms: &str) -> (Yard, Vec<Session>) {
    let mut yard = Yard::start_with(1, [("GREENROOM_POOL_RUNNER_BELIEVED_MS", believed_ms)], pool()).await;
    yard.add_runner(&demo(), SESSIONS.into());
    yard.until_ready(SESSIONS.into()).await;
    let sessions = join_all((0..SESSIONS).map(|n| Session::begin(&yard, n))).await;
    (yard, sessions)
}

impl Session {
    async fn begin(yard: &Yard, n: u16) -> Self {
        let wish = json!({"session": format!("s{n}"), "wait_seconds": 20, "ttl_seconds": 600});
        let (status, lease) = yard.post(&format!("/v1/pools/{POOL}/leases"), wish).await;
        assert_eq!(status, 201, "{lease}");
        let phrase = format!("phrase-of-s{n}.");
        ask(text(&lease, "endpoint"), "/say", Some(json!(phrase))).await;
        let worker = yard.get(&format!("/v1/workers/{}", text(&lease, "worker"))).await.expect("a worker");
        let pid = worker["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        Self { lease, phrase, pid: pid.expect("a process") }
    }

    fn path(&self, of: &str) -> String {
        format!("/v1/leases/{}{of}", text(&self.lease, "id"))
    }

    async fn renew(&self, yard: &Yard) -> (u16, Value) {
        yard.post(&self.path("/renew"), json!({"token": self.lease["token"]})).await
    }

    /// Whether its process runs, answers where it did, and has not forgotten.
    async fn is_served(&self) -> bool {
        is_running(self.pid)
            && ask(text(&self.lease, "endpoint"), "/recall", None).await.to_string().contains(&self.phrase)
    }
}

fn text<'a>(thing: &'a Value, field: &str) -> &'a str {
    thing[field].as_str().unwrap_or_else(|| panic!("{field} in {thing}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_empty_ends_no_session() {
    let (mut yard, sessions) = yard_of_sessions("15000").await;
    yard.restart_redis_empty().await;
    for session in &sessions {
        eventually("its runner has told of it", async || {
            let (status, answer) = session.renew(&yard).await;
            assert_ne!(status, 409, "it was never over: {answer}");
            (status == 200).then_some(())
        })
        .await;
    }
    for session in &sessions {
        let lease = yard.get(&session.path("")).await.expect("a lease");
        for same in ["id", "token", "session", "worker", "endpoint"] {
            assert_eq!(lease[same], session.lease[same], "{same} of {lease}");
        }
        assert!(session.is_served().await, "{lease}");
    }
    // What was defined is gone with the rest.
    assert_eq!(yard.put(&format!("/v1/pools/{POOL}"), pool()).await, 200);
    for session in &sessions {
        assert_eq!(yard.post(&session.path("/release"), json!({"token": session.lease["token"]})).await.0, 204);
    }
    let status = yard.until_ready(SESSIONS.into()).await;
    assert_eq!((&status["resets_proved"], &status["resets_failed"]), (&json!(SESSIONS), &json!(0)), "{status}");
    for session in &sessions {
        assert!(is_running(session.pid) && !session.is_served().await, "it lives on, and has forgotten");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_is_killed_leaves_no_process_and_its_leases_end() {
    let (mut yard, sessions) = yard_of_sessions("6000").await;
    yard.runners[0].kill();
    for session in &sessions {
        eventually("its worker went with it", async || (!is_running(session.pid)).then_some(())).await;
    }
    for session in &sessions {
        let over = async || (yard.get(&session.path("")).await?["code"] == "lease_not_found").then_some(());
        eventually("the lease is over", over).await;
        let (status, refused) = session.renew(&yard).await;
        assert_eq!((status, &refused["code"]), (409, &json!("lease_lost")), "{refused}");
    }
    yard.add_runner(&demo(), SESSIONS.into());
    yard.until_ready(SESSIONS.into()).await;
}
