//! Holders of leases: they have a worker, say something to it, and see whether they are alone; they renew, give back,
//! vanish, or come late.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::history::{Act, History, Outcome, Use};
use super::load::outcome;
use super::pool::{LEASE, POOL};
use super::rig::Rig;
use super::schedule::REPLICAS;
use crate::support::client::Client;
use crate::support::stage::KEY;

const HOLDERS: usize = 6;
/// Keys of keyed sessions, one more than the pool has room for.
const KEYS: [&str; 3] = ["ann", "bob", "cem"];
/// The shorter lease that some ask for.
const SHORT: Duration = Duration::from_secs(2);
/// How long a worker may take to answer: one that is well answers at once.
const ANSWER_MAX: Duration = Duration::from_secs(5);

struct Holder {
    rig: Arc<Rig>,
    history: Arc<History>,
    client: Client,
    /// To the workers, which are no part of greenroom.
    to_workers: reqwest::Client,
    dice: StdRng,
    settled: CancellationToken,
    n: usize,
}

/// A lease as its holder knows it.
struct Had {
    id: String,
    token: u64,
    worker: Value,
    endpoint: String,
    lasts: Duration,
}

/// Begins, until it is over; once it is settled, everybody gives back in time.
pub(crate) fn start(
    rig: &Arc<Rig>,
    history: &Arc<History>,
    seed: u64,
    (settled, over): (&CancellationToken, &CancellationToken),
    tasks: &mut JoinSet<()>,
) {
    for n in 0..HOLDERS {
        let holder = Holder {
            rig: Arc::clone(rig),
            history: Arc::clone(history),
            client: Client::new(Duration::from_secs(7)),
            to_workers: reqwest::Client::builder().no_proxy().timeout(ANSWER_MAX).build().expect("a client"),
            dice: StdRng::seed_from_u64(seed ^ (n as u64 + 1) << 40),
            settled: settled.clone(),
            n,
        };
        tasks.spawn(holder.run(over.clone()));
    }
}

impl Holder {
    async fn run(mut self, over: CancellationToken) {
        while !over.is_cancelled() {
            self.pause(50, 500).await;
            if let Some(had) = self.lease().await {
                self.hold(&had).await;
            }
        }
    }

    async fn pause(&mut self, least: u64, most: u64) {
        tokio::time::sleep(Duration::from_millis(self.dice.random_range(least..most))).await;
    }

    /// A worker for a session: without a name, with one of its own, or with a key that others use as well.
    async fn lease(&mut self) -> Option<Had> {
        let mut body = json!({"wait_seconds": self.dice.random_range(0..3)});
        match self.dice.random_range(0..10) {
            0..5 => {}
            5..8 => body["session"] = json!(format!("session-{}-{}", self.n, self.dice.random_range(0..2))),
            _ => body["key"] = json!(KEYS[self.dice.random_range(0..KEYS.len())]),
        }
        let lasts = if self.dice.random_bool(0.5) { SHORT } else { LEASE };
        body["ttl_seconds"] = json!(lasts.as_secs());
        let (replica, url) = self.somewhere(&format!("/v1/pools/{POOL}/leases"));
        let invoked = self.history.now();
        let outcome = outcome(self.client.post(url).bearer_auth(KEY).json(&body)).await;
        let told = self.note(Act::Lease, body, replica, invoked, outcome)?;
        Some(Had {
            id: told["id"].as_str()?.to_owned(),
            token: told["token"].as_u64()?,
            worker: told["worker"].clone(),
            endpoint: told["endpoint"].as_str()?.to_owned(),
            lasts,
        })
    }

    /// Uses it for a while, and now and then somebody else tries to. What becomes of it then is a matter of luck.
    async fn hold(&mut self, had: &Had) {
        for turn in 0..self.dice.random_range(2..8) {
            self.say(had, turn).await;
            self.pause(20, 300).await;
            match self.dice.random_range(0..8) {
                0 => drop(self.renew(Act::RenewAsStranger, had, had.token - 1).await),
                1 => drop(self.of_lease(Act::ReleaseAsStranger, had, "release", json!({"token": had.token + 1})).await),
                _ => {}
            }
            if self.dice.random_bool(0.6) && !self.keep(had).await {
                break;
            }
        }
        let fate = if self.settled.is_cancelled() { 9 } else { self.dice.random_range(0..10) };
        match fate {
            // It vanishes.
            0 => return,
            // It comes late, and goes on as if nothing were.
            1 => {
                tokio::time::sleep(had.lasts).await;
                self.pause(300, 1500).await;
                self.renew(Act::RenewLease, had, had.token).await;
                self.say(had, 8).await;
            }
            _ => {}
        }
        self.release(had).await;
        if fate == 2 {
            self.renew(Act::RenewLease, had, had.token).await;
            self.say(had, 9).await;
        }
    }

    /// Renews it, again and again for as long as it may last: what a careful holder does.
    async fn keep(&mut self, had: &Had) -> bool {
        let began = self.history.now();
        while self.history.now() < began + had.lasts {
            if self.renew(Act::RenewLease, had, had.token).await.is_some() {
                return true;
            }
            self.pause(50, 300).await;
        }
        false
    }

    async fn renew(&mut self, act: Act, had: &Had, token: u64) -> Option<Value> {
        let body = json!({"token": token, "ttl_seconds": had.lasts.as_secs()});
        self.of_lease(act, had, "renew", body).await
    }

    /// Gives it back; where it is unknown whether that was heard, once more.
    async fn release(&mut self, had: &Had) {
        for _ in 0..2 {
            if self.of_lease(Act::ReleaseLease, had, "release", json!({"token": had.token})).await.is_some() {
                return;
            }
            self.pause(50, 200).await;
        }
    }

    async fn of_lease(&mut self, act: Act, had: &Had, what: &str, mut body: Value) -> Option<Value> {
        let (replica, url) = self.somewhere(&format!("/v1/leases/{}/{what}", had.id));
        let invoked = self.history.now();
        let outcome = outcome(self.client.post(url).bearer_auth(KEY).json(&body)).await;
        body["lease"] = json!(had.id);
        self.note(act, body, replica, invoked, outcome)
    }

    fn somewhere(&mut self, path: &str) -> (usize, String) {
        let replica = self.dice.random_range(0..REPLICAS);
        (replica, format!("http://{}{path}", self.rig.replicas[replica].address))
    }

    /// Says a phrase of this lease's own to its worker, which tells what it knows.
    async fn say(&mut self, had: &Had, turn: usize) {
        let phrase = format!("{}#{}.{turn}", had.id, self.n);
        let body = json!({"lease": had.id, "token": had.token, "worker": had.worker, "phrase": phrase});
        let invoked = self.history.now();
        let request = self.to_workers.post(&had.endpoint).body(body.to_string());
        let answer = async {
            let answer = request.send().await.ok()?;
            Some((answer.status().as_u16(), serde_json::from_str::<Value>(&answer.text().await.ok()?).ok()?))
        };
        let outcome = match answer.await {
            None => Outcome::Unknown,
            Some((200, body)) => Outcome::Ok { status: 200, body },
            Some((status, body)) => Outcome::Fail { status, code: body["lease"].to_string() },
        };
        self.note(Act::Say, body, 0, invoked, outcome);
    }

    fn note(&self, act: Act, body: Value, replica: usize, invoked: Duration, outcome: Outcome) -> Option<Value> {
        let answer = if let Outcome::Ok { body, .. } = &outcome { Some(body.clone()) } else { None };
        let returned = self.history.now();
        self.history.uses.add(Use { act, name: POOL, body, replica, invoked, returned, outcome });
        answer
    }
}
