//! Locks over REST, of three real replicas on a Redis with Sentinels, while replicas are killed and stalled, holders
//! pause beyond their leases, and the master of Redis is lost. What everybody was answered is written down, and judged.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::client::Client;
use crate::support::process::{Replica, own_address, settings};
use crate::support::redis::TestRedis;
use crate::support::{PATIENCE_WITH_SENTINELS, eventually, eventually_within, size_of_test};

const KEY: &str = "a-key-of-a-test";
const LEASE: Duration = Duration::from_secs(1);
const OWNERS: usize = 8;

/// One call that was answered well, a grant or a renewal; or a release that was asked for.
#[derive(Debug, Clone)]
struct Done {
    what: What,
    token: u64,
    owner: String,
    /// By one monotonic clock: the call was carried out between the two. Of a release only the question counts.
    asked: Instant,
    answered: Instant,
    /// By Redis's clock; nought for a release.
    since: String,
    until: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Granted,
    Renewed,
    Released,
}

/// What the lock protects: it refuses tokens below the highest that it knows.
#[derive(Debug, Default)]
struct Guarded {
    highest: u64,
    taken: u64,
    refused: u64,
}

#[derive(Default)]
struct History {
    done: Mutex<Vec<Done>>,
    guarded: Mutex<Guarded>,
}

impl History {
    fn note(&self, done: Done) {
        self.done.lock().expect("a history").push(done);
    }

    fn granted(&self) -> usize {
        self.done.lock().expect("a history").iter().filter(|done| done.what == What::Granted).count()
    }

    /// A write under the token.
    fn write(&self, token: u64) {
        let mut guarded = self.guarded.lock().expect("guarded");
        if token >= guarded.highest {
            guarded.highest = token;
            guarded.taken += 1;
        } else {
            guarded.refused += 1;
        }
    }

    /// Every breach of what locks promise, in words.
    fn breaches(&self) -> Vec<String> {
        let done = self.done.lock().expect("a history").clone();
        let mut found = Vec::new();
        for a in &done {
            for b in &done {
                if a.token == b.token && a.owner != b.owner {
                    found.push(format!("one token for two: {a:?} and {b:?}"));
                }
                let later = a.answered < b.asked;
                if a.what == What::Granted && later && b.what != What::Released && b.token < a.token {
                    found.push(format!("a stale holder was served: {b:?} after {a:?}"));
                }
            }
        }
        let mut grants: Vec<&Done> = done.iter().filter(|done| done.what == What::Granted).collect();
        grants.sort_by_key(|grant| grant.token);
        for pair in grants.windows(2) {
            let [before, after] = pair else { continue };
            let own = |it: &&Done| it.token == before.token;
            let released = done.iter().filter(own).any(|it| it.what == What::Released && it.asked < after.answered);
            let until = done.iter().filter(own).map(|it| &it.until).max();
            if before.token != after.token && !released && until > Some(&after.since) {
                found.push(format!("two held it at once: {after:?} since {}, until {until:?} {before:?}", after.since));
            }
        }
        found
    }
}

/// A client that asks whichever replica answers.
struct Owner {
    client: Client,
    urls: Arc<Vec<String>>,
    history: Arc<History>,
}

impl Owner {
    /// The answer, from the first replica that gives one; `None` where it is refused or unknown.
    async fn ask(&self, verb: &str, owner: &str, body: Value) -> Option<Done> {
        let asked = Instant::now();
        if let ("release", Some(token)) = (verb, body["token"].as_u64()) {
            // Whatever is answered, it may have come to pass.
            let (owner, none) = (owner.to_owned(), String::new());
            let done =
                Done { what: What::Released, token, owner, asked, answered: asked, since: none.clone(), until: none };
            self.history.note(done);
        }
        let url = &self.urls[rand::random_range(0..self.urls.len())];
        let request = self.client.post(format!("{url}/v1/locks/turn/{verb}")).bearer_auth(KEY).json(&body);
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        assert!([200, 204, 409, 503].contains(&status), "{verb}: {status}");
        if status >= 400 {
            return None;
        }
        let told: Value = answer.json().await.unwrap_or_default();
        let text = |field: &str| told[field].as_str().unwrap_or_default().to_owned();
        let what = if verb == "acquire" { What::Granted } else { What::Renewed };
        let token = told["token"].as_u64()?;
        let (since, until, owner) = (text("held_since"), text("expires_at"), owner.to_owned());
        let done = Done { what, token, owner, asked, answered: Instant::now(), since, until };
        self.history.note(done.clone());
        Some(done)
    }

    /// Takes the lock turn by turn: sometimes it renews, pauses beyond its lease, or never gives it back.
    async fn live(self, n: usize, stop: CancellationToken) {
        let seconds = LEASE.as_secs();
        let mut turn = 0;
        while !stop.is_cancelled() {
            let owner = format!("owner-{n}.{turn}");
            let body = json!({"owner": owner, "ttl_seconds": seconds, "wait_seconds": 1});
            let Some(grant) = self.ask("acquire", &owner, body).await else {
                // It may be granted all the same: asked again under the same name, it is one grant.
                tokio::time::sleep(Duration::from_millis(rand::random_range(5..50))).await;
                continue;
            };
            turn += 1;
            self.history.write(grant.token);
            let fate = rand::random_range(0..10);
            if fate == 0 {
                // Dies with the lock in its hands.
                continue;
            }
            if fate == 1 {
                // Pauses, and goes on as if nothing were.
                tokio::time::sleep(LEASE + Duration::from_millis(500)).await;
            }
            let body = json!({"owner": owner, "token": grant.token, "ttl_seconds": seconds});
            self.ask("renew", &owner, body).await;
            self.history.write(grant.token);
            self.ask("release", &owner, json!({"owner": owner, "token": grant.token})).await;
        }
    }
}

async fn replicas(redis: &TestRedis, dir: &tempfile::TempDir) -> Vec<Replica> {
    let settings = settings([
        ("REDIS_URL", &redis.url()),
        // What counts is with the replica as well: else a fail-over may lose it.
        ("GREENROOM_REDIS_WAIT_REPLICAS", "1"),
        ("GREENROOM_REDIS_COMMAND_TIMEOUT_MS", "600"),
        ("GREENROOM_API_KEY", KEY),
        ("GREENROOM_DISPATCH_PROVIDER", "simulated"),
        ("GREENROOM_DEFAULT_AGENT", "guide"),
        ("GREENROOM_SERVER_DRAIN_MS", "0"),
        ("GREENROOM_SERVER_RATE_LIMIT_PER_SECOND", "0"),
        ("GREENROOM_LOG_FORMAT", "text"),
    ]);
    let starting = (0..3).map(|_| Replica::start(own_address(), &settings, dir.path()));
    futures_util::future::join_all(starting).await
}

/// Goes on until as many more grants were given. Each has its own time: a holder in five keeps the lock for its whole
/// lease.
async fn until_more(history: &History, grants: usize, what: &str) {
    for goal in history.granted() + 1..=history.granted() + grants {
        eventually(what, async || (history.granted() >= goal).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_have_one_holder_and_growing_tokens_through_kills_pauses_and_a_fail_over() {
    let mut redis = TestRedis::with_sentinels().await;
    let dir = tempfile::tempdir().expect("a directory");
    let mut replicas = replicas(&redis, &dir).await;
    let urls = Arc::new(replicas.iter().map(|replica| replica.url("")).collect::<Vec<_>>());
    let (history, stop) = (Arc::new(History::default()), CancellationToken::new());
    let owners: Vec<_> = (0..OWNERS)
        .map(|n| {
            let (urls, history) = (Arc::clone(&urls), Arc::clone(&history));
            let owner = Owner { client: Client::new(Duration::from_secs(3)), urls, history };
            tokio::spawn(owner.live(n, stop.clone()))
        })
        .collect();
    let rounds = size_of_test("GREENROOM_TEST_LOCK_ROUNDS", 1);
    until_more(&history, 15, "locks go round").await;
    for _ in 0..rounds {
        replicas[1].process.signal("STOP");
        until_more(&history, 3, "locks go round while a replica stalls").await;
        tokio::time::sleep(LEASE).await;
        replicas[1].process.signal("CONT");
        until_more(&history, 5, "locks go round when it goes on").await;
    }
    replicas[2].process.kill();
    until_more(&history, 3, "locks go round without a replica").await;

    redis.servers_mut()[0].kill();
    eventually("there is a new master", async || redis.servers()[1].info("role").await.filter(|role| role == "master"))
        .await;
    // Until it has a replica again no grant counts.
    redis.servers_mut()[0].start_again().await;
    eventually_within(PATIENCE_WITH_SENTINELS, "the old master follows the new one", async || {
        let old = &redis.servers()[0];
        let follows = old.info("role").await.as_deref() == Some("slave");
        (follows && old.info("master_link_status").await.as_deref() == Some("up")).then_some(())
    })
    .await;
    until_more(&history, 10, "locks go round after the fail-over").await;
    stop.cancel();
    for owner in owners {
        owner.await.expect("no panic");
    }
    let breaches = history.breaches();
    let guarded = history.guarded.lock().expect("guarded");
    eprintln!("{} grants, {} writes taken, {} refused", history.granted(), guarded.taken, guarded.refused);
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
    drop(guarded);
}

/// The checker bites: each of these is a breach.
#[test]
fn the_history_of_locks_is_judged() {
    let began = Instant::now();
    let at = |ms: u64| began + Duration::from_millis(ms);
    let done = |what, owner: &str, token, asked, answered, (since, until): (&str, &str)| Done {
        what,
        token,
        owner: owner.to_owned(),
        asked: at(asked),
        answered: at(answered),
        since: since.to_owned(),
        until: until.to_owned(),
    };
    let granted = |owner: &str, token, asked: u64, times| done(What::Granted, owner, token, asked, asked + 1, times);
    let renewed = |owner: &str, token, asked: u64, times| done(What::Renewed, owner, token, asked, asked + 1, times);
    let released = |owner: &str, token, asked: u64| done(What::Released, owner, token, asked, asked + 1, ("", ""));
    let judge = |all: Vec<Done>| {
        let history = History::default();
        for done in all {
            history.note(done);
        }
        history.breaches().join("; ")
    };
    let first = granted("a", 1, 0, ("00", "10"));
    assert_eq!(judge(vec![first.clone(), granted("b", 2, 12, ("10", "20"))]), "");
    assert_eq!(judge(vec![first.clone(), released("a", 1, 3), granted("b", 2, 5, ("05", "20"))]), "");
    for (history, why) in [
        (vec![first.clone(), granted("b", 1, 12, ("12", "20"))], "one token for two"),
        (vec![granted("b", 2, 12, ("12", "20")), granted("a", 1, 30, ("30", "40"))], "stale"),
        (vec![first.clone(), granted("b", 2, 12, ("12", "20")), renewed("a", 1, 15, ("00", "12"))], "stale"),
        (vec![first.clone(), granted("b", 2, 5, ("05", "20"))], "two held it at once"),
        (vec![first, renewed("a", 1, 3, ("00", "13")), granted("b", 2, 12, ("12", "20"))], "two held it at once"),
    ] {
        assert!(judge(history).contains(why), "{why}");
    }
}
