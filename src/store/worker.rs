//! The scripts of workers and their runners.

use std::time::Duration;

use redis::{FromRedisValue as _, Value};

use super::dispatch::Fields;
use super::keys::{Shard, parse_pool, pool_key};
use super::pool::all_fields;
use super::{Store, StoreError, script};
use crate::id::WorkerId;
use crate::idempotency::Once;
use crate::name::Name;
use crate::pool::{Action, Assignment, Instruction, PoolName, Runner, SessionRef, Step, Worker, WorkerState};

/// What a scan of a shard's leases and runners found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lapsed {
    /// How many leases were not renewed.
    pub leases: u64,
    /// How many workers were lost with their runners.
    pub workers: u64,
    /// How many would have been, all at once, and get one more period: told once.
    pub braked: u64,
}

/// What a runner is answered.
#[derive(Debug, Clone)]
pub struct Heard {
    /// How often workers' health is to be checked.
    pub health_ms: u32,
    /// The number of the last thing that it is told.
    pub told: u64,
    /// Whether that is of all its workers, or of those only that there is something new of.
    pub complete: bool,
    /// What is to become of each worker.
    pub instructions: Vec<Instruction>,
}

type RawInstruction = (String, String, u64, u64, String, String, String);

impl Store {
    /// A runner tells what it runs, and hears what is to become of its workers, who has heard everything up to `known`.
    pub async fn sync_runner(
        &self,
        pool: &PoolName,
        runner: &Runner,
        known: Option<u64>,
        believed: Duration,
    ) -> Result<Heard, StoreError> {
        let shard = self.shard_of(pool);
        let key = shard.runner(pool, &runner.name);
        let workers = format!("{key}:workers");
        let keys = [shard.pool(pool), key, workers];
        let own = [
            pool_key(pool),
            runner.name.encoded().into_owned(),
            runner.host.encoded().into_owned(),
            runner.driver.encoded().into_owned(),
            runner.capacity.to_string(),
            u8::from(runner.draining).to_string(),
            believed.as_millis().to_string(),
            serde_json::to_string(&runner.workers).map_err(|error| StoreError::nonsense(error.to_string()))?,
            runner.boot.encoded().into_owned(),
            runner.report.to_string(),
            or_empty(runner.since),
            or_empty(known),
        ];
        heard(self.call_pool(&script::RUNNER_SYNC, shard, &keys, &own, None, &[]).await?)
    }

    /// A runner that has nothing to tell since its report `since` hears what is new for it.
    pub async fn await_orders(
        &self,
        pool: &PoolName,
        runner: &Runner,
        since: u64,
        known: Option<u64>,
        believed: Duration,
    ) -> Result<Heard, StoreError> {
        let shard = self.shard_of(pool);
        let keys = [shard.pool(pool), shard.runner(pool, &runner.name), shard.due_lease()];
        let own = [
            believed.as_millis().to_string(),
            runner.boot.encoded().into_owned(),
            runner.report.to_string(),
            since.to_string(),
            or_empty(known),
        ];
        heard(self.call_pool(&script::RUNNER_WAIT, shard, &keys, &own, None, &[]).await?)
    }

    /// The name under which hints for the runner arrive.
    pub fn runner_hint_name(pool: &PoolName, runner: &Name) -> String {
        format!("runner:{}:{}", pool_key(pool), runner.encoded())
    }

    /// Says what is to become of a worker: `cordon`, `uncordon`, `drain` or `recycle`.
    pub async fn mark_worker(
        &self,
        tenant: &Name,
        id: WorkerId,
        mark: &str,
        once: Option<&Once>,
    ) -> Result<Worker, StoreError> {
        let shard = Shard(id.shard());
        let own = [id.to_string(), format!("{}:", tenant.encoded()), mark.to_owned()];
        let body = once.map(|once| once.body.clone()).unwrap_or_default();
        let (_, fields): (u64, Fields) =
            self.call_pool(&script::WORKER_MARK, shard, &[shard.worker(id)], &own, once, &[&body]).await?;
        parse_worker(&fields)
    }

    /// One worker; also one that is gone, for an hour.
    pub async fn worker(&self, id: WorkerId) -> Result<Option<Worker>, StoreError> {
        let now = self.inner.clock.argument();
        let (_, fields): (u64, Fields) =
            self.call(&script::WORKER_GET, &[&Shard(id.shard()).worker(id)], &[now.as_bytes()]).await?;
        if fields.is_empty() { Ok(None) } else { parse_worker(&fields).map(Some) }
    }

    /// Workers of a pool, the oldest first.
    pub async fn page_of_workers(&self, pool: &PoolName, first: u64, limit: u32) -> Result<Vec<Worker>, StoreError> {
        let shard = self.shard_of(pool);
        let own = [shard.workers(), first.to_string(), limit.to_string()];
        let keys = [format!("{}:workers", shard.pool(pool))];
        let told: Vec<Value> = self.call_pool(&script::WORKER_PAGE, shard, &keys, &own, None, &[]).await?;
        all_fields(told.into_iter().skip(1).collect())?.iter().map(parse_worker).collect()
    }

    /// Ends the leases that nobody renewed, and gives up the workers of runners that fell silent, in a shard.
    pub async fn reap_leases(
        &self,
        shard: Shard,
        term: u64,
        limit: usize,
        believed: Duration,
    ) -> Result<Lapsed, StoreError> {
        let own = [term.to_string(), limit.to_string(), believed.as_millis().to_string()];
        let keys = [shard.shard(), shard.due_lease()];
        let (leases, workers, braked): (u64, u64, u64) =
            self.call_pool(&script::REAP_LEASE, shard, &keys, &own, None, &[]).await?;
        Ok(Lapsed { leases, workers, braked })
    }

    /// Acts on what workers did not do in time, and on those who waited in line for long enough, in a shard.
    pub async fn reap_pools(&self, shard: Shard, term: u64, limit: usize) -> Result<u64, StoreError> {
        let own = [term.to_string(), limit.to_string()];
        let keys = [shard.shard(), shard.due_pool()];
        self.call_pool(&script::REAP_POOL, shard, &keys, &own, None, &[]).await
    }
}

fn or_empty(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn heard(told: Vec<Value>) -> Result<Heard, StoreError> {
    let mut told = told.into_iter();
    let mut number = || {
        let value = told.next().ok_or_else(|| StoreError::nonsense("an answer that ends early".to_owned()))?;
        Ok::<_, StoreError>(u64::from_redis_value(value).map_err(redis::RedisError::from)?)
    };
    let (_now, health_ms, last, complete) = (number()?, number()?, number()?, number()? == 1);
    let health_ms = u32::try_from(health_ms).unwrap_or(u32::MAX);
    let mut instructions = told.map(instruction).collect::<Result<Vec<_>, _>>()?;
    instructions.sort_by(|a, b| a.worker.cmp(&b.worker));
    Ok(Heard { health_ms, told: last, complete, instructions })
}

fn instruction(value: Value) -> Result<Instruction, StoreError> {
    let raw = RawInstruction::from_redis_value(value).map_err(redis::RedisError::from)?;
    let (worker, action, token, within_ms, lease, session, assignment) = raw;
    let action = Action::parse(&action).ok_or_else(|| StoreError::nonsense(format!("action {action}")))?;
    let session = SessionRef::decode(&session);
    let lease = (!lease.is_empty()).then_some(lease);
    Ok(Instruction { worker, action, token, within_ms, lease, session, assignment: Assignment::from_text(assignment) })
}

pub(super) fn parse_worker(fields: &Fields) -> Result<Worker, StoreError> {
    let text = |field: &str| fields.get(field).filter(|value| !value.is_empty());
    let number = |field: &str| text(field).and_then(|value| value.parse::<u64>().ok());
    let count = |field: &str| number(field).unwrap_or_default();
    let nonsense = |what: &str| StoreError::nonsense(format!("{what} of a worker"));
    let own = |field: &str| text(field).cloned().unwrap_or_default();
    let steps = fields.iter().filter(|(field, _)| field.starts_with("past:"));
    let mut history: Vec<(u64, Step)> =
        steps.filter_map(|(field, text)| Some((place(field, count("transitions"))?, step(text)?))).collect();
    history.sort_by_key(|(place, _)| *place);
    Ok(Worker {
        id: text("id").and_then(|id| id.parse().ok()).ok_or_else(|| nonsense("id"))?,
        pool: text("pool_key").and_then(|key| parse_pool(key)).ok_or_else(|| nonsense("pool"))?,
        runner: Name::decode(&own("runner")).map(|name| name.as_str().to_owned()).unwrap_or_default(),
        version: own("version"),
        state: text("state").and_then(|state| WorkerState::parse(state)).ok_or_else(|| nonsense("state"))?,
        since_ms: count("since"),
        reason: own("reason"),
        health: own("health"),
        failures: count("failures"),
        cordoned: text("cordoned").is_some(),
        memory_high: text("memory_high").is_some(),
        created_at_ms: count("created_at"),
        sessions: count("sessions"),
        lease: text("lease").cloned(),
        endpoint: text("endpoint").cloned(),
        memory_bytes: number("memory_bytes"),
        pid: number("pid"),
        requests: count("requests"),
        errors: count("errors"),
        history: history.into_iter().map(|(_, step)| step).collect(),
    })
}

/// How far back the step of that field lies, of so many in all: the ring holds ten.
fn place(field: &str, steps: u64) -> Option<u64> {
    const RING: u64 = 10;
    let slot: u64 = field.strip_prefix("past:")?.parse().ok()?;
    Some((steps + RING - 1 - slot) % RING)
}

fn step(text: &str) -> Option<Step> {
    let mut words = text.split(' ');
    let (at, state, reason) = (words.next()?, words.next()?, words.next()?);
    Some(Step { at_ms: at.parse().ok()?, state: WorkerState::parse(state)?, reason: reason.to_owned() })
}
