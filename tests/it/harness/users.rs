//! Users of what all replicas share: owners of locks, and callers of something that fails for stretches, through its
//! breaker.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::history::{Act, History, Outcome, Use};
use super::load::outcome;
use super::rig::Rig;
use super::schedule::REPLICAS;
use super::{BOUND, within};
use crate::support::client::Client;
use crate::support::stage::KEY;

const LOCKS: [&str; 2] = ["crane", "gate"];
const OWNERS: usize = 3;
/// The lease of a lock; the shortest that there is.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
const BREAKER: &str = "payments";
const CALLERS: usize = 4;
/// How long the breaker is open; a fifth less by chance.
pub(crate) const OPEN_MS: u64 = 400;

/// One at a time probes.
fn rules() -> Value {
    json!({"failures_max": 3, "failure_percent": 0, "slow_percent": 0, "open_ms": OPEN_MS,
        "open_ms_max": 2 * OPEN_MS, "probes_max": 1, "probe_ms": 700, "successes_min": 2})
}

/// Somebody who uses locks or a breaker.
struct User {
    rig: Arc<Rig>,
    history: Arc<History>,
    client: Client,
    dice: StdRng,
    settled: CancellationToken,
    over: CancellationToken,
    n: usize,
}

/// Begins, until it is over; once it is settled, nothing fails any more.
pub(crate) fn start(
    rig: &Arc<Rig>,
    history: &Arc<History>,
    seed: u64,
    (settled, over): (&CancellationToken, &CancellationToken),
    tasks: &mut JoinSet<()>,
) {
    for n in 0..OWNERS + CALLERS {
        let user = User {
            rig: Arc::clone(rig),
            history: Arc::clone(history),
            client: Client::new(Duration::from_secs(7)),
            dice: StdRng::seed_from_u64(seed ^ (n as u64 + 1) << 56),
            settled: settled.clone(),
            over: over.clone(),
            n,
        };
        if n < OWNERS {
            tasks.spawn(user.own());
        } else {
            tasks.spawn(user.call(Stretches::of(seed)));
        }
    }
}

/// With nobody else there, each lock is to be had, and the breaker closes; what is not so in time.
pub(crate) async fn unwell(rig: &Arc<Rig>, history: &Arc<History>) -> Vec<String> {
    let (rig, history, client) = (Arc::clone(rig), Arc::clone(history), Client::new(Duration::from_secs(7)));
    let (settled, over, dice) = (CancellationToken::new(), CancellationToken::new(), StdRng::seed_from_u64(0));
    let mut user = User { rig, history, client, dice, settled, over, n: OWNERS + CALLERS };
    let mut unwell = Vec::new();
    for lock in LOCKS {
        let body = json!({"owner": "the last one", "ttl_seconds": LEASE.as_secs(), "wait_seconds": 1});
        let had = within(BOUND, async || user.ask(Act::AcquireLock, lock, body.clone()).await.is_some()).await;
        if had.is_none() {
            unwell.push(format!("nobody gets the lock {lock}"));
        }
    }
    let closed = within(BOUND, async || {
        let permit = user.ask(Act::Permit, BREAKER, json!({"rules": rules()})).await.unwrap_or_default();
        if permit["allowed"] != true {
            return false;
        }
        user.report(&permit, false).await.is_some_and(|told| told["state"] == "closed")
    });
    if closed.await.is_none() {
        unwell.push(format!("the breaker {BREAKER} does not close"));
    }
    unwell
}

impl User {
    async fn pause(&mut self, least: u64, most: u64) {
        tokio::time::sleep(Duration::from_millis(self.dice.random_range(least..most))).await;
    }

    /// The body of a 2xx.
    async fn ask(&mut self, act: Act, name: &'static str, body: Value) -> Option<Value> {
        let (things, what) = match act {
            Act::AcquireLock => ("locks", "acquire"),
            Act::RenewLock => ("locks", "renew"),
            Act::ReleaseLock => ("locks", "release"),
            Act::Permit => ("breakers", "permit"),
            _ => ("breakers", "report"),
        };
        let replica = self.dice.random_range(0..REPLICAS);
        let url = format!("http://{}/v1/{things}/{name}/{what}", self.rig.replicas[replica].address);
        let invoked = self.history.now();
        let outcome = outcome(self.client.post(url).bearer_auth(KEY).json(&body)).await;
        let returned = self.history.now();
        let answer = if let Outcome::Ok { body, .. } = &outcome { Some(body.clone()) } else { None };
        self.history.uses.add(Use { act, name, body, replica, invoked, returned, outcome });
        answer
    }

    /// Takes locks in turn, each time as another owner: now and then it dies with one, or pauses beyond its lease and
    /// goes on as if nothing were.
    async fn own(mut self) {
        let seconds = LEASE.as_secs();
        for turn in 0.. {
            self.pause(50, 500).await;
            let (lock, owner) = (LOCKS[self.dice.random_range(0..LOCKS.len())], format!("owner-{}.{turn}", self.n));
            let token = loop {
                if self.over.is_cancelled() {
                    return;
                }
                let body = json!({"owner": owner, "ttl_seconds": seconds, "wait_seconds": 1});
                // Where it is unknown, it is asked for again under the same name.
                match self.ask(Act::AcquireLock, lock, body).await {
                    Some(held) => break held["token"].clone(),
                    None => self.pause(50, 200).await,
                }
            };
            let fate = self.dice.random_range(0..8);
            match fate {
                0 => continue,
                1 => tokio::time::sleep(LEASE + Duration::from_millis(400)).await,
                _ => self.pause(10, 300).await,
            }
            if fate < 4 {
                let body = json!({"owner": owner, "token": token, "ttl_seconds": seconds});
                self.ask(Act::RenewLock, lock, body).await;
                self.pause(10, 200).await;
            }
            self.ask(Act::ReleaseLock, lock, json!({"owner": owner, "token": token})).await;
        }
    }

    /// Asks for each call; some are slow, of some nobody hears how they went.
    async fn call(mut self, stretches: Stretches) {
        while !self.over.is_cancelled() {
            self.pause(50, 500).await;
            let Some(permit) = self.ask(Act::Permit, BREAKER, json!({"rules": rules()})).await else { continue };
            if permit["allowed"] != true {
                continue;
            }
            let fails = !self.settled.is_cancelled() && stretches.fails(self.history.now());
            match self.dice.random_range(0..8) {
                0 => continue,
                1 | 2 => self.pause(300, 2500).await,
                _ => self.pause(5, 100).await,
            }
            self.report(&permit, fails).await;
        }
    }

    async fn report(&mut self, permit: &Value, failed: bool) -> Option<Value> {
        let outcome = if failed { "failure" } else { "success" };
        let body = json!({"outcome": outcome, "generation": permit["generation"], "permit": permit["permit"]});
        self.ask(Act::Report, BREAKER, body).await
    }
}

/// When what is called fails.
struct Stretches(Vec<Duration>);

impl Stretches {
    fn of(seed: u64) -> Self {
        let (mut dice, mut at) = (StdRng::seed_from_u64(seed), Duration::ZERO);
        let mut turns = Vec::new();
        while at < Duration::from_mins(10) {
            at += Duration::from_millis(dice.random_range(400..2000));
            turns.push(at);
        }
        Self(turns)
    }

    /// Well and failing take turns.
    fn fails(&self, at: Duration) -> bool {
        self.0.partition_point(|turn| *turn <= at) % 2 == 1
    }
}
