//! Random sequences of calls against a small model: whoever may call, in any order, with tokens
//! that may be stale, two agents in one room, and a provider that makes what it is told.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use greenroom::dispatch::{NoticeKind, Place, SessionState, TtlChange};
use greenroom::id::DispatchId;
use greenroom::store::keys::PlaceKeys;
use greenroom::store::{Commit, Due, DueKind, Judgement, Observation, Record, Refusal, StoreError, Verdict};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

mod ops;
mod rules;

use self::ops::{Op, op, pick, sids};
use self::rules::check_fields;
use crate::support::scene::{CLAIM, HOLD, JOIN_DEADLINE, Scene, TERM, person};

/// What the model knows of one place.
#[derive(Debug, Default)]
struct Known {
    token: u64,
    /// Dispatches of the provider that were ever committed, and under which tokens.
    committed: Vec<(u64, String)>,
    /// The time to live was cancelled by a call, or armed while people were there.
    ttl_by_hand: bool,
}

struct World<'a> {
    scene: &'a Scene,
    places: [Place; 2],
    known: [Known; 2],
    /// Claims that were ever given, with what for; most are stale.
    held: Vec<Record>,
    /// Agents that were ever made: place, id, token, the provider's id.
    made: Vec<(usize, DispatchId, u64, String)>,
    people: BTreeSet<String>,
    /// Who left, and when, in seconds: whoever told us of their coming did so before.
    gone: BTreeMap<String, u64>,
    next: u32,
}

type Step = Result<(), TestCaseError>;

/// Refusals are part of the game; anything else is a failure of the store.
fn allowed<T>(answer: Result<T, StoreError>) -> Result<Option<T>, TestCaseError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(StoreError::Refused(_)) => Ok(None),
        Err(error) => Err(TestCaseError::fail(error.to_string())),
    }
}

impl World<'_> {
    fn agent_of(&self, place: &Place) -> usize {
        usize::from(*place == self.places[1])
    }

    /// A claim was given: its token is new.
    fn take(&mut self, record: &Record) -> Step {
        let known = &mut self.known[usize::from(record.dispatch.place == self.places[1])];
        prop_assert!(record.dispatch.token > known.token, "token {} after {}", record.dispatch.token, known.token);
        prop_assert!(record.claim_until_ms.is_some(), "a claim without a deadline");
        known.token = record.dispatch.token;
        self.held.push(record.clone());
        Ok(())
    }

    async fn apply(&mut self, op: &Op) -> Step {
        let store = &self.scene.store;
        match op {
            Op::Acquire { agent } => {
                let (place, rules) = (&self.places[*agent], self.scene.acquire_rules());
                let plain = allowed(store.reuse(place, &rules).await)?.flatten();
                let asked = allowed(store.acquire(place, "", &rules, None).await)?.flatten();
                if let Some(plain) = plain {
                    let decided = asked.as_ref().map(|(verdict, record)| (*verdict, &record.dispatch));
                    prop_assert_eq!(decided, Some((Verdict::Reused, &plain.dispatch)));
                }
                if let Some((Verdict::Create | Verdict::Verify, record)) = asked {
                    self.take(&record)?;
                }
            }
            Op::Commit { held, adopted } => {
                let Some(record) = pick(&self.held, *held) else { return Ok(()) };
                return self.make(&record, *adopted).await;
            }
            Op::Fail { held, unsure } => {
                let Some(record) = pick(&self.held, *held) else { return Ok(()) };
                let (place, token) = (&record.dispatch.place, record.dispatch.token);
                let most = Duration::from_secs(30);
                allowed(store.fail(place, token, ("timeout", ""), HOLD, *unsure, most).await)?;
            }
            Op::Renew { held } => {
                let Some(record) = pick(&self.held, *held) else { return Ok(()) };
                allowed(store.renew(&record.dispatch.place, record.dispatch.token, CLAIM).await)?;
            }
            Op::Observe { held, here, room, people, wanted } => {
                let Some(record) = pick(&self.held, *held) else { return Ok(()) };
                self.observe(&record, *here, *room, &sids(*people), *wanted).await?;
            }
            Op::Ended { held } => {
                let Some(record) = pick(&self.held, *held) else { return Ok(()) };
                allowed(store.ended(&record.dispatch.place, record.dispatch.token).await)?;
            }
            Op::End { agent } => {
                let place = &self.places[*agent];
                let Some(found) = allowed(store.dispatch(place).await)?.flatten() else { return Ok(()) };
                if let Some((true, record)) = allowed(store.end(place, found.id, "asked", CLAIM).await)? {
                    self.take(&record)?;
                }
            }
            Op::Report { made, session } => {
                let Some((agent, id, token, _)) = pick(&self.made, *made) else { return Ok(()) };
                let session = [SessionState::Open, SessionState::Busy, SessionState::Closed][usize::from(*session)];
                let silent_after = Duration::from_millis(4500);
                allowed(store.report(&self.places[agent], id, token, session, silent_after).await)?;
            }
            Op::Touch { agent, change } => {
                let place = &self.places[*agent];
                let Some(found) = allowed(store.dispatch(place).await)?.flatten() else { return Ok(()) };
                self.known[*agent].ttl_by_hand |= *change > 0;
                match change {
                    0 => allowed(store.touch(place, found.id, None).await)?,
                    1 => allowed(store.change_ttl(place, found.id, TtlChange::Arm(3), None).await)?,
                    _ => allowed(store.change_ttl(place, found.id, TtlChange::Cancel, None).await)?,
                };
            }
            Op::Joined { sid, late } => {
                let sid = format!("PA_{sid}");
                let kind = NoticeKind::PersonJoined(person(&sid, self.scene.now() / 1000));
                let gone_at = self.gone.get(&sid).copied();
                let happened_at = gone_at.unwrap_or_else(|| self.second(*late));
                if self.notice(kind, happened_at).await? > 0 && !late && gone_at.is_none() {
                    self.people.insert(sid);
                }
            }
            Op::Left { sid, late } => {
                let sid = format!("PA_{sid}");
                let kind = NoticeKind::PersonLeft(person(&sid, self.scene.now() / 1000));
                if self.notice(kind, self.second(*late)).await? > 0 {
                    self.people.remove(&sid);
                    self.gone.entry(sid).or_insert(self.scene.now() / 1000);
                }
            }
            Op::Look => {
                self.notice(NoticeKind::AgentChanged, self.second(false)).await?;
            }
            Op::Tombstone { made } => {
                let Some((agent, _, _, provider_id)) = pick(&self.made, *made) else { return Ok(()) };
                allowed(store.tombstone(&self.places[agent], &provider_id).await)?;
            }
            Op::Reap => {
                for due in self.scene.due().await {
                    self.take(&due.record)?;
                }
            }
            Op::Round { here, room, people, adopted } => self.round(*here, *room, &sids(*people), *adopted).await?,
            Op::Scan => drop(self.scene.scan_beats().await),
            Op::Forget => drop(allowed(store.reap_store(self.scene.keys().shard, TERM, 10).await)?),
            Op::Pass { ms } => self.scene.pass(Duration::from_millis(*ms)),
        }
        Ok(())
    }

    /// Claims what is due, and does it.
    async fn round(&mut self, here: bool, room: bool, people: &[String], adopted: bool) -> Step {
        for due in self.scene.due().await {
            self.take(&due.record)?;
            let (place, token) = (&due.record.dispatch.place, due.record.dispatch.token);
            if due.kind == DueKind::Check {
                self.observe(&due.record, here, room, people, false).await?;
            }
            match self.claim_of(place).await.as_deref() {
                Some("end") => drop(allowed(self.scene.store.ended(place, token).await)?),
                Some(_) => self.make(&due.record, adopted).await?,
                None => {}
            }
        }
        Ok(())
    }

    /// Makes a dispatch at the provider, or adopts the newest that was made, and commits it.
    async fn make(&mut self, record: &Record, adopted: bool) -> Step {
        let agent = self.agent_of(&record.dispatch.place);
        let own = self.made.iter().rfind(|made| made.0 == agent && adopted).map(|made| made.3.clone());
        let provider_id = own.unwrap_or_else(|| {
            self.next += 1;
            let provider_id = format!("AD_{}", self.next);
            self.made.push((agent, record.dispatch.id, record.dispatch.token, provider_id.clone()));
            provider_id
        });
        self.commit(record, &provider_id, adopted).await
    }

    async fn commit(&mut self, record: &Record, provider_id: &str, adopted: bool) -> Step {
        let (id, token) = (record.dispatch.id, record.dispatch.token);
        let commit = Commit { id, provider_id, agent_token: token, adopted, join_deadline: JOIN_DEADLINE, once: None };
        let place = &record.dispatch.place;
        let tombstoned = self.tombstoned(place, provider_id).await;
        let answer = self.scene.store.commit(place, token, &commit).await;
        let agent = self.agent_of(place);
        if matches!(answer, Err(StoreError::Refused(Refusal::NotOwner))) {
            // What was made is undone: its tombstone comes first.
            allowed(self.scene.store.tombstone(place, provider_id).await)?;
        }
        if allowed(answer)?.is_some() {
            if self.known[agent].committed.iter().any(|known| *known == (token, provider_id.to_owned())) {
                return Ok(());
            }
            prop_assert!(!tombstoned, "{provider_id} was committed though it is being deleted");
            prop_assert_eq!(token, self.known[agent].token, "committed with a stale token");
            self.known[agent].committed.push((token, provider_id.to_owned()));
        }
        Ok(())
    }

    async fn observe(&mut self, record: &Record, here: bool, room: bool, people: &[String], wanted: bool) -> Step {
        let place = &record.dispatch.place;
        // A look may show who left less than five seconds before it began, not who left earlier: by then the
        // list is believed.
        let (now, began) = (self.scene.now() / 1000, record.now_ms / 1000);
        let shown = people.iter().filter(|sid| self.gone.get(*sid).is_none_or(|&gone_at| began < gone_at + 5));
        let listed: Vec<_> = shown.map(|sid| person(sid, now)).collect();
        let seen = Observation {
            looked_at_ms: record.now_ms,
            took: Duration::ZERO,
            room_exists: room,
            agent_here: here && room,
            job_listed: here && room,
            people: &listed,
            wanted_id: wanted.then(|| self.scene.store.new_id(place)),
        };
        let before = self.claim_of(place).await;
        let rules = Scene::observe_rules();
        let answer = allowed(self.scene.store.observe(place, record.dispatch.token, &seen, &rules).await)?;
        let again = matches!(before.as_deref(), Some("redispatch" | "end"));
        if let Some((judgement, after)) = answer {
            prop_assert_eq!(record.dispatch.token, self.known[self.agent_of(place)].token, "judged with a stale token");
            prop_assert_eq!(after.claim_until_ms.is_some(), judgement != Judgement::Well);
            if !again {
                self.people =
                    self.scene.run::<Vec<String>>(&["HKEYS", &self.scene.keys().people()]).await.into_iter().collect();
                let ghost = self.people.iter().find(|sid| self.gone.contains_key(*sid));
                prop_assert_eq!(ghost, None, "a ghost");
                let left: Vec<String> = self.scene.run(&["ZRANGE", &self.scene.keys().left(), "0", "-1"]).await;
                for sid in left {
                    self.gone.entry(sid).or_insert(self.scene.now() / 1000);
                }
            }
        }
        Ok(())
    }

    async fn claim_of(&self, place: &Place) -> Option<String> {
        let keys = PlaceKeys::new(place, self.scene.store.shards());
        self.scene.run(&["HGET", &keys.dispatch(), "claim"]).await
    }

    /// When something happened that is told now, or an hour late.
    fn second(&self, late: bool) -> u64 {
        self.scene.now() / 1000 - if late { 3600 } else { 0 }
    }

    async fn notice(&self, kind: NoticeKind, happened_at: u64) -> Result<u64, TestCaseError> {
        self.scene.try_notice(kind, happened_at).await.map_err(|error| TestCaseError::fail(error.to_string()))
    }

    async fn tombstoned(&self, place: &Place, provider_id: &str) -> bool {
        let keys = PlaceKeys::new(place, self.scene.store.shards());
        self.scene.run::<u8>(&["EXISTS", &keys.tombstone(provider_id)]).await == 1
    }

    /// The invariants, after every step.
    async fn check(&mut self) -> Step {
        let scene = self.scene;
        let people: BTreeMap<String, String> = scene.run(&["HGETALL", &scene.keys().people()]).await;
        let sids: BTreeSet<String> = people.keys().cloned().collect();
        let mut live = 0;
        for agent in 0..2 {
            let keys = PlaceKeys::new(&self.places[agent], scene.store.shards());
            let fields: HashMap<String, String> = scene.run(&["HGETALL", &keys.dispatch()]).await;
            let member = format!("dispatch:{}", keys.name());
            let score = async |lane: String| -> Option<u64> {
                let score: Option<String> = scene.run(&["ZSCORE", &lane, &member]).await;
                score.map(|score| score.parse().expect("a time"))
            };
            let provider = score(keys.shard.due_provider()).await;
            let (beat, forget) = (score(keys.shard.due_beat()).await, score(keys.shard.due_store()).await);
            for (_, provider_id) in &self.known[agent].committed {
                let current = fields.get("provider_id") == Some(provider_id);
                let dead = self.tombstoned(&self.places[agent], provider_id).await;
                prop_assert!(current != dead, "{provider_id}: committed {current}, tombstoned {dead}");
            }
            if fields.is_empty() {
                prop_assert_eq!((provider, beat, forget), (None, None, None), "an entry without a dispatch");
                self.known[agent].ttl_by_hand = false;
                continue;
            }
            live += 1;
            check_fields(&fields, provider, beat, forget)?;
            let number = |field: &str| fields.get(field).map(|value| value.parse::<u64>().expect("a number"));
            prop_assert_eq!(number("token"), Some(self.known[agent].token));
            let over = matches!(fields["state"].as_str(), "ending" | "failed");
            let supervised = fields.contains_key("dispatched_at") && !over && !self.known[agent].ttl_by_hand;
            if supervised && !fields.contains_key("claim") {
                prop_assert_eq!(
                    fields.contains_key("ttl_expires_at"),
                    sids.is_empty(),
                    "the time to live: {:?}",
                    &fields
                );
            }
        }
        if live == 0 {
            self.people.clear();
            self.gone.clear();
        }
        prop_assert_eq!(&sids, &self.people, "who is there");
        Ok(())
    }

    /// However it stands, looking after what is due ends everything, and nothing is left behind.
    async fn wind_up(&mut self) -> Step {
        for _ in 0..80 {
            self.scene.pass(Duration::from_secs(61));
            for due in self.scene.due().await {
                self.wind_up_one(&due).await?;
            }
            allowed(self.scene.store.reap_store(self.scene.keys().shard, TERM, 10).await)?;
            self.check().await?;
            if self
                .scene
                .run::<u8>(&["EXISTS", &self.scene.keys().shard.index_dispatches(&self.places[0].tenant)])
                .await
                == 0
            {
                break;
            }
        }
        for place in &self.places {
            let left = allowed(self.scene.store.dispatch(place).await)?.flatten();
            prop_assert!(left.is_none(), "it is never looked at again: {left:?}");
        }
        self.scene.check_keys().await;
        self.scene.check_nothing_left().await;
        Ok(())
    }

    async fn wind_up_one(&mut self, due: &Due) -> Step {
        let (place, token) = (&due.record.dispatch.place, due.record.dispatch.token);
        self.take(&due.record)?;
        match due.kind {
            // It is tried for as long as people are known to be there, or the time to live was
            // cancelled: until the provider works again.
            DueKind::Create if !self.people.is_empty() || self.known[self.agent_of(place)].ttl_by_hand => {
                self.make(&due.record, false).await?;
            }
            DueKind::Create => {
                let most = Duration::from_secs(30);
                allowed(self.scene.store.fail(place, token, ("timeout", ""), HOLD, false, most).await)?;
            }
            DueKind::Check => {
                self.observe(&due.record, false, false, &[], false).await?;
                allowed(self.scene.store.ended(place, token).await)?;
            }
            DueKind::End => drop(allowed(self.scene.store.ended(place, token).await)?),
        }
        Ok(())
    }
}

async fn play(scene: &Scene, ops: &[Op]) -> Step {
    scene.run::<()>(&["FLUSHALL"]).await;
    scene.restart_time();
    let mut world = World {
        scene,
        places: [scene.place.clone(), scene.place_of("scribe")],
        known: Default::default(),
        held: Vec::new(),
        made: Vec::new(),
        people: BTreeSet::new(),
        gone: BTreeMap::new(),
        next: 0,
    };
    for op in ops {
        world.apply(op).await?;
        world.check().await?;
    }
    world.wind_up().await
}

/// `PROPTEST_CASES` sets how many sequences are tried.
#[test]
fn random_calls_break_no_invariant() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let scene = runtime.block_on(Scene::open());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let sequences = prop::collection::vec(op(), 1..50);
    let outcome = TestRunner::new(config).run(&sequences, |ops| runtime.block_on(play(&scene, &ops)));
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
