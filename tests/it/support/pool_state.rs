//! What holds of a pool in Redis at any time: sets equal what follows from the hashes, and leases and workers agree.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::pool_scene::PoolScene;

/// A hash in Redis.
pub(crate) type Hash = BTreeMap<String, String>;
/// A sorted set.
type Set = BTreeMap<String, u64>;

/// All that is in Redis of a pool.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) now: u64,
    pub(crate) workers: BTreeMap<String, Hash>,
    pub(crate) leases: BTreeMap<String, Hash>,
    sessions: BTreeMap<String, Hash>,
    sets: BTreeMap<String, Set>,
    /// What is there by name alone.
    others: BTreeSet<String>,
}

pub(crate) fn text<'a>(hash: &'a Hash, field: &str) -> &'a str {
    hash.get(field).map_or("", String::as_str)
}

pub(crate) fn number(hash: &Hash, field: &str) -> Option<u64> {
    hash.get(field).map(|value| value.parse().expect("a number"))
}

pub(crate) fn is_spare(worker: &Hash) -> bool {
    text(worker, "state") == "ready" && !worker.contains_key("cordoned") && text(worker, "health") != "unhealthy"
}

pub(crate) fn is_keyed(lease: &Hash) -> bool {
    text(lease, "session").starts_with("key:")
}

/// Everything in Redis at one moment, or what is named like the argument, as JSON: what each hash and sorted set holds,
/// and the other keys by name.
pub(crate) const DUMP: &str = "
local all = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] or '*')) do
  local kind = redis.call('TYPE', key).ok
  local has = {}
  if kind == 'hash' then
    has = redis.call('HGETALL', key)
  elseif kind == 'zset' then
    has = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  end
  all[#all + 1] = { key, kind, unpack(has) }
end
return cjson.encode(all)";

impl State {
    pub(crate) async fn read(pool: &PoolScene) -> Self {
        let dump: String = pool.scene.run(&["EVAL", DUMP, "0"]).await;
        Self::of(&dump, pool.scene.now())
    }

    /// What [`DUMP`] gave.
    pub(crate) fn of(dump: &str, now: u64) -> Self {
        let mut state = Self { now, ..Self::default() };
        // An empty list in Lua is an object.
        let keys: Vec<Vec<String>> = serde_json::from_str(dump).unwrap_or_default();
        for key in &keys {
            let (name, kind, flat) = (key[0].as_str(), key[1].as_str(), &key[2..]);
            let name = name.split_once(':').and_then(|(_, rest)| rest.split_once(':')).map_or("", |(_, name)| name);
            let (of, id) = name.split_once(':').unwrap_or((name, ""));
            let pairs = flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
            let hashes = match (of, kind) {
                // Of what is due, other lanes are of dispatches.
                ("due", _) if !["pool", "lease"].contains(&id) => continue,
                ("due" | "pool" | "runner", "zset") => {
                    let set = pairs.map(|(member, score)| (member, score.parse().expect("a number"))).collect();
                    state.sets.insert(name.to_owned(), set);
                    continue;
                }
                ("worker", _) => &mut state.workers,
                ("lease", _) => &mut state.leases,
                ("session", _) => &mut state.sessions,
                _ => {
                    state.others.insert(name.to_owned());
                    continue;
                }
            };
            hashes.insert(id.to_owned(), pairs.collect());
        }
        state
    }

    /// Until when the runner of the worker is believed to live.
    pub(crate) fn heard_until(&self, worker: &Hash) -> Option<u64> {
        let member = format!("runner:{}:{}", text(worker, "pool_key"), text(worker, "runner"));
        self.sets.get("due:lease").and_then(|due| due.get(&member)).copied()
    }

    fn is_heard(&self, worker: &Hash, now: u64) -> bool {
        self.heard_until(worker).is_some_and(|until| until > now)
    }

    pub(crate) fn lives(&self) -> impl Iterator<Item = (&String, &Hash)> {
        self.workers.iter().filter(|(_, worker)| text(worker, "state") != "terminated")
    }

    /// The sets as they follow from workers and leases.
    fn recomputed(&self) -> BTreeMap<String, Set> {
        let mut sets: BTreeMap<String, Set> = BTreeMap::new();
        let mut add = |set: &str, member: &str, score: Option<u64>| {
            if let Some(score) = score {
                sets.entry(set.to_owned()).or_default().insert(member.to_owned(), score);
            }
        };
        for (id, worker) in self.lives() {
            let since = number(worker, "since");
            add("pool:default:py:workers", id, number(worker, "created_at"));
            add(&format!("pool:default:py:in:{}", text(worker, "state")), id, since);
            add("pool:default:py:spare", id, since.filter(|_| is_spare(worker)));
            add(
                &format!("runner:default:py:{}:workers", text(worker, "runner")),
                id,
                number(worker, "told").or(Some(0)),
            );
            add("due:pool", &format!("worker:{id}"), number(worker, "due_at"));
        }
        for (id, lease) in &self.leases {
            let (waits, held) = (text(lease, "state") == "waiting", ["held", "idle"].contains(&text(lease, "state")));
            let place = number(lease, "place").filter(|_| waits);
            add("pool:default:py:waiting", id, place);
            add("pool:default:py:unbound", id, place.filter(|_| !lease.contains_key("bound_to")));
            add("pool:default:py:leases", id, number(lease, "granted_at"));
            add("pool:default:py:keyed", id, number(lease, "created_at").filter(|_| is_keyed(lease)));
            add("pool:default:py:idle", id, number(lease, "idle_at").filter(|_| text(lease, "state") == "idle"));
            add("due:pool", &format!("lease:{id}"), number(lease, "due_at"));
            add("due:lease", &format!("lease:{id}"), number(lease, "until_at").filter(|_| held));
        }
        sets
    }

    pub(crate) fn check(&self) -> Result<(), TestCaseError> {
        for id in self.leases.keys() {
            prop_assert!(self.others.contains(&format!("assignment:{id}")), "no assignment of {id}");
        }
        self.check_adopted()
    }

    /// The same where Redis may have forgotten something: what the worker of a session that was found again was told,
    /// nobody knows.
    pub(crate) fn check_adopted(&self) -> Result<(), TestCaseError> {
        let mut sets = self.sets.clone();
        sets.remove("pool:default:py:runners");
        if let Some(due) = sets.get_mut("due:lease") {
            due.retain(|member, _| !member.starts_with("runner:"));
        }
        sets.retain(|_, members| !members.is_empty());
        prop_assert_eq!(&sets, &self.recomputed(), "sets, and what follows from the hashes");
        let mut taken = BTreeSet::new();
        for (id, lease) in &self.leases {
            let (state, worker) = (text(lease, "state"), text(lease, "worker"));
            let due = (lease.contains_key("due_at"), lease.contains_key("until_at"));
            match state {
                "waiting" => prop_assert_eq!((worker, due), ("", (true, false)), "{:?}", lease),
                "offered" => prop_assert_eq!(due, (true, false), "{:?}", lease),
                "held" => prop_assert_eq!(due, (false, true), "{:?}", lease),
                "idle" => prop_assert_eq!((due, is_keyed(lease)), ((false, true), true), "{:?}", lease),
                _ => prop_assert!(false, "a lease is {state}"),
            }
            if state != "waiting" {
                prop_assert!(taken.insert(worker), "two leases of {worker}");
                let Some(of) = self.workers.get(worker) else {
                    return Err(TestCaseError::fail(format!("{id} has no worker")));
                };
                let told = (text(of, "state"), text(of, "lease"), text(of, "token"));
                prop_assert_eq!(told, ("busy", id.as_str(), text(lease, "token")), "{:?}", of);
            }
            if let Some(session) = lease.get("session") {
                let named = self.sessions.get(&format!("default:py:{session}")).map(|session| text(session, "lease"));
                prop_assert_eq!(named, Some(id.as_str()), "the session {}", session);
            }
        }
        for (id, worker) in self.lives() {
            let serves = self.leases.get(text(worker, "lease")).is_some_and(|lease| text(lease, "worker") == id);
            let is_busy = text(worker, "state") == "busy";
            prop_assert_eq!((serves, worker.contains_key("lease")), (is_busy, is_busy), "{:?}", worker);
            let pending = matches!(text(worker, "state"), "initializing" | "resetting" | "terminating");
            let instructed = worker.contains_key("instruction") || text(worker, "state") == "initializing";
            prop_assert_eq!(instructed, worker.contains_key("due_at"), "{:?}", worker);
            prop_assert!(instructed || !pending, "nobody waits for {worker:?}");
        }
        for (name, session) in &self.sessions {
            let lease = session.get("lease").and_then(|lease| self.leases.get(lease));
            prop_assert!(!session.contains_key("lease") || lease.is_some(), "{name} names a lease that is gone");
        }
        let assignments = self.others.iter().filter_map(|name| name.strip_prefix("assignment:"));
        let outlives = assignments.into_iter().find(|id| !self.leases.contains_key(*id));
        prop_assert!(outlives.is_none(), "an assignment outlives its lease: {outlives:?}");
        Ok(())
    }

    /// Nobody who takes any worker waits beside one that is spare. (Holds while time goes on.)
    pub(crate) fn check_service(&self) -> Result<(), TestCaseError> {
        let spare = self.lives().find(|(_, worker)| is_spare(worker) && self.is_heard(worker, self.now));
        let waits = self.leases.iter().find(|(_, lease)| {
            text(lease, "state") == "waiting"
                && !lease.contains_key("bound_to")
                && number(lease, "deadline").is_some_and(|deadline| deadline > self.now)
        });
        prop_assert!(spare.is_none() || waits.is_none(), "{waits:?} waits, and {spare:?} is spare");
        Ok(())
    }

    /// Leases that were held `before` are still held, save those of which `may_end` says so.
    pub(crate) fn check_kept(
        &self,
        before: &Self,
        may_end: impl Fn(&str, &Hash, &Hash) -> bool,
    ) -> Result<(), TestCaseError> {
        for (id, lease) in before.leases.iter().filter(|(_, lease)| text(lease, "state") == "held") {
            let worker = &before.workers[text(lease, "worker")];
            if !may_end(id, lease, worker) {
                let now = self.leases.get(id).map(|lease| (text(lease, "state"), text(lease, "token")));
                prop_assert_eq!(now, Some(("held", text(lease, "token"))), "{} was taken away", id);
            }
        }
        Ok(())
    }

    /// Whether the leader may end the lease: it was not renewed, its runner is silent, or its worker is overdue.
    pub(crate) fn is_over(&self, lease: &Hash, worker: &Hash, now: u64) -> bool {
        number(lease, "until_at") <= Some(now)
            || !self.is_heard(worker, now)
            || number(worker, "due_at").is_some_and(|due_at| due_at <= now)
    }

    /// Whoever was granted a worker since `before` stood before all who still wait for any.
    pub(crate) fn check_order(&self, before: &Self) -> Result<(), TestCaseError> {
        let waited = |id: &String| before.leases.get(id).filter(|lease| text(lease, "state") == "waiting");
        for (id, lease) in &self.leases {
            let was_bound = before.leases.get(id).is_some_and(|lease| lease.contains_key("bound_to"));
            let is_new = before.leases.get(id).is_none_or(|lease| text(lease, "state") == "waiting");
            if text(lease, "state") == "waiting" || !is_new || was_bound {
                continue;
            }
            let passed = self.leases.iter().find(|(other, it)| {
                text(it, "state") == "waiting"
                    && waited(other).is_some_and(|was| !was.contains_key("bound_to"))
                    && number(it, "deadline") > Some(self.now)
                    && number(it, "place") < number(lease, "place")
            });
            prop_assert!(passed.is_none(), "{passed:?} was passed over for {lease:?}");
        }
        Ok(())
    }
}
