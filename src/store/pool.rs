//! The scripts of pools and leases.

use std::collections::HashMap;
use std::time::Duration;

use redis::{FromRedisValue, Value};

use super::dispatch::Fields;
use super::keys::{Shard, parse_pool, pool_key, shard_of_pool};
use super::{Store, StoreError, script};
use crate::id::{LeaseId, WorkerId};
use crate::idempotency::Once;
use crate::name::Name;
use crate::pool::{
    Assignment, Lease, LeaseState, Plan, Pool, PoolName, PoolSettings, PoolStatus, ResetMode, Schedule, SessionRef,
    Waits, Wish, WorkerState,
};

/// What became of a wish.
#[derive(Debug, Clone)]
pub enum Asked {
    /// The session has its worker.
    Held(Lease),
    /// It is in line, or its worker is to take it.
    Pending(Lease),
    /// There is no worker for it, and it waits no longer.
    None,
}

/// What a look at a pool's size decided, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What was decided.
    pub plan: Plan,
}

type Told = (String, u64, Fields);

impl Store {
    /// Gives a pool its settings; it is made where the tenant has fewer than `most` in its shard. With `keeps`, one that
    /// is there keeps its own. Returns whether it was made.
    pub async fn define_pool(
        &self,
        pool: &PoolName,
        settings: &PoolSettings,
        keeps: bool,
        most: u32,
        once: Option<&Once>,
    ) -> Result<bool, StoreError> {
        let shard = self.shard_of(pool);
        let keys = [shard.pool(pool), shard.index_pools(&pool.tenant), shard.index_all_pools()];
        let own = [pool_key(pool), settings.to_string(), most.to_string(), u8::from(keeps).to_string()];
        let body = once.map(|once| once.body.clone()).unwrap_or_default();
        let (made, _): (u8, u64) = self.call_pool(&script::POOL_DEFINE, shard, &keys, &own, once, &[&body]).await?;
        Ok(made == 1)
    }

    /// One pool.
    pub async fn pool(&self, pool: &PoolName) -> Result<Option<Pool>, StoreError> {
        let (shard, now) = (self.shard_of(pool), self.inner.clock.argument());
        let (_, fields, counts): (u64, Fields, HashMap<String, u64>) =
            self.call(&script::POOL_GET, &[&shard.pool(pool)], &[now.as_bytes()]).await?;
        Ok(fields.contains_key("created_at").then(|| parse_status(pool, &fields, &counts)))
    }

    /// Removes a pool that has no workers, no leases and no line. False where there is none.
    pub async fn delete_pool(&self, pool: &PoolName) -> Result<bool, StoreError> {
        let shard = self.shard_of(pool);
        let keys = [shard.pool(pool), shard.index_pools(&pool.tenant), shard.index_all_pools()];
        let (keys, key) = (keys.each_ref().map(String::as_str), pool_key(pool));
        Ok(self.call::<u8>(&script::POOL_DELETE, &keys, &[key.as_bytes()]).await? == 1)
    }

    /// Names of a tenant's pools in a shard after `after`, each as member of the index.
    pub async fn page_of_pools(
        &self,
        shard: Shard,
        tenant: &Name,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(String, Name)>, StoreError> {
        let lower = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let args = [lower.as_bytes(), &limit.to_string().into_bytes()].map(<[u8]>::to_vec);
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let names: Vec<String> = self.call(&script::POOL_PAGE, &[&shard.index_pools(tenant)], &args).await?;
        let read = |member: String| {
            let name = Name::decode(&member).ok_or_else(|| StoreError::nonsense(format!("pool {member}")))?;
            Ok((member, name))
        };
        names.into_iter().map(read).collect()
    }

    /// Pools of a shard, whoever's, after the one before.
    pub async fn pools_of_shard(
        &self,
        shard: Shard,
        after: Option<&PoolName>,
        limit: u32,
    ) -> Result<Vec<PoolName>, StoreError> {
        let lower = after.map_or_else(|| "-".to_owned(), |after| format!("({}", pool_key(after)));
        let limit = limit.to_string();
        let names: Vec<String> =
            self.call(&script::POOL_PAGE, &[&shard.index_all_pools()], &[lower.as_bytes(), limit.as_bytes()]).await?;
        Ok(names.iter().filter_map(|name| parse_pool(name)).collect())
    }

    /// Brings a pool to its size; `jitter` is how much sooner new workers retire, in thousandths. With `dry`, only tells
    /// what that would be.
    pub async fn plan_pool(&self, pool: &PoolName, jitter: u32, dry: bool) -> Result<Option<Planned>, StoreError> {
        const STARTS_MAX: usize = 16;
        // What the schedule asks for now is worked out here, by the time of the answer that told it.
        const SCHEDULES_MAX: usize = 4;
        let shard = self.shard_of(pool);
        let ids: Vec<String> = (0..STARTS_MAX).map(|_| WorkerId::new(shard.0).to_string()).collect();
        let own = [pool_key(pool), ids.join(" "), jitter.to_string(), u8::from(dry).to_string()];
        let keys = [shard.pool(pool)];
        let mut schedule = Schedule::default();
        let mut now_ms = 0;
        for _ in 0..SCHEDULES_MAX {
            let (text, scheduled) = (schedule.text(), schedule.at(now_ms));
            let last = [text.as_str(), &scheduled.spare.to_string(), &scheduled.min.to_string()];
            let told: Option<(u64, u64, u64, String, u64, u64, String)> =
                self.call_pool(&script::POOL_PLAN, shard, &keys, &own, None, &last).await?;
            let Some((at_ms, wanted, there, reason, starts, goes, its_own)) = told else { return Ok(None) };
            if its_own.is_empty() {
                return Ok(Some(Planned { plan: Plan { at_ms, wanted, there, starts, goes, reason } }));
            }
            (schedule, now_ms) = (Schedule::from_text(&its_own), at_ms);
        }
        Err(StoreError::nonsense("a schedule that changes with every look".to_owned()))
    }

    /// A session asks for a worker; `id` is for a new lease.
    pub async fn ask_for_worker(
        &self,
        pool: &PoolName,
        id: LeaseId,
        wish: &Wish,
        once: Option<&Once>,
    ) -> Result<Asked, StoreError> {
        let shard = self.shard_of(pool);
        let session = wish.session.as_ref().map(|session| session.encoded().into_owned()).unwrap_or_default();
        let lease = wish.lease.map(|lease| lease.as_millis().to_string()).unwrap_or_default();
        let own = [
            pool_key(pool),
            id.to_string(),
            session,
            lease,
            wish.wait.as_millis().to_string(),
            wish.priority.head_start_ms().to_string(),
            wish.assignment.text().to_owned(),
            wish.affinity.as_str().to_owned(),
        ];
        let keys = [shard.pool(pool), shard.assignment(id)];
        let (body, attempt) = once.map(|once| (once.body.as_str(), once.attempt.as_str())).unwrap_or_default();
        self.asked(self.call_pool(&script::POOL_ACQUIRE, shard, &keys, &own, once, &[body, attempt]).await?)
    }

    /// Who asked for a worker asks how that stands, and takes what it was offered.
    /// `reused`: it was there before.
    pub async fn confirm_lease(
        &self,
        pool: &PoolName,
        id: LeaseId,
        reused: bool,
        once: Option<&Once>,
    ) -> Result<Asked, StoreError> {
        let shard = self.shard_of(pool);
        let own = [pool_key(pool), id.to_string(), u8::from(reused).to_string()];
        let (body, attempt) = once.map(|once| (once.body.as_str(), once.attempt.as_str())).unwrap_or_default();
        let keys = [shard.pool(pool)];
        self.asked(self.call_pool(&script::LEASE_CONFIRM, shard, &keys, &own, once, &[body, attempt]).await?)
    }

    /// The holder keeps its lease for longer; returns when it ends.
    pub async fn renew_lease(
        &self,
        tenant: &Name,
        (id, token): (LeaseId, u64),
        lease: Option<Duration>,
        once: Option<&Once>,
    ) -> Result<u64, StoreError> {
        let shard = Shard(id.shard());
        let lease = lease.map(|lease| lease.as_millis().to_string()).unwrap_or_default();
        let own = [id.to_string(), token.to_string(), lease, format!("{}:", tenant.encoded())];
        let keys = [shard.lease(id), shard.due_lease()];
        let body = once.map(|once| once.body.clone()).unwrap_or_default();
        let (_, until_ms): (u64, u64) =
            self.call_pool(&script::LEASE_RENEW, shard, &keys, &own, once, &[&body]).await?;
        Ok(until_ms)
    }

    /// Gives a lease back; without a token, for a session that still waits. False where there is none.
    pub async fn release_lease(
        &self,
        tenant: &Name,
        (id, token): (LeaseId, Option<u64>),
        once: Option<&Once>,
    ) -> Result<bool, StoreError> {
        let shard = Shard(id.shard());
        let token = token.map(|token| token.to_string()).unwrap_or_default();
        let own = [id.to_string(), token, format!("{}:", tenant.encoded())];
        let body = once.map(|once| once.body.clone()).unwrap_or_default();
        let keys = [shard.lease(id)];
        let known: u8 = self.call_pool(&script::LEASE_RELEASE, shard, &keys, &own, once, &[&body]).await?;
        Ok(known == 1)
    }

    /// One lease.
    pub async fn lease(&self, id: LeaseId) -> Result<Option<Lease>, StoreError> {
        let now = self.inner.clock.argument();
        let (now_ms, fields): (u64, Fields) =
            self.call(&script::LEASE_GET, &[&Shard(id.shard()).lease(id)], &[now.as_bytes()]).await?;
        if fields.is_empty() { Ok(None) } else { parse_lease(now_ms, &fields).map(Some) }
    }

    /// The lease that a named session holds, and what its worker was told, as far as that is known; with `lasts`, it
    /// lasts at least so long from now on.
    pub async fn lease_of_session(
        &self,
        pool: &PoolName,
        session: &SessionRef,
        lasts: Option<Duration>,
    ) -> Result<Option<(Lease, Option<Assignment>)>, StoreError> {
        let shard = self.shard_of(pool);
        let lasts = lasts.map(|lasts| lasts.as_millis().to_string()).unwrap_or_default();
        let keys = [shard.session(pool, session), shard.due_lease()];
        let (now_ms, fields, told): (u64, Fields, Option<String>) =
            self.call_pool(&script::LEASE_OF_SESSION, shard, &keys, &[lasts], None, &[]).await?;
        if fields.is_empty() {
            return Ok(None);
        }
        Ok(Some((parse_lease(now_ms, &fields)?, told.map(Assignment::from_text))))
    }

    /// The name under which hints for the lease arrive.
    pub fn lease_hint_name(id: LeaseId) -> String {
        format!("lease:{id}")
    }

    /// The name under which hints for those arrive who wait for a keyed session to be idle.
    pub fn keyed_hint_name(pool: &PoolName) -> String {
        format!("keyed:{}", pool_key(pool))
    }

    pub(super) fn shard_of(&self, pool: &PoolName) -> Shard {
        shard_of_pool(pool, self.shards())
    }

    /// Calls a script that takes the time first, then what is its own.
    pub(super) async fn call_pool<T: FromRedisValue>(
        &self,
        script: &script::Script,
        shard: Shard,
        keys: &[String],
        own: &[String],
        once: Option<&Once>,
        last: &[&str],
    ) -> Result<T, StoreError> {
        let now = self.inner.clock.argument();
        let once = once.map(|once| shard.once(&once.record));
        let keys: Vec<&str> = keys.iter().chain(&once).map(String::as_str).collect();
        let args = std::iter::once(now.as_bytes()).chain(own.iter().map(String::as_bytes));
        let args: Vec<&[u8]> = args.chain(last.iter().map(|text| text.as_bytes())).collect();
        self.call(script, &keys, &args).await
    }

    fn asked(&self, (verdict, now_ms, fields): Told) -> Result<Asked, StoreError> {
        if verdict == "none" {
            return Ok(Asked::None);
        }
        let lease = parse_lease(now_ms, &fields)?;
        if let Some(token) = lease.token {
            self.see_token(token);
        }
        Ok(if lease.state == LeaseState::Held { Asked::Held(lease) } else { Asked::Pending(lease) })
    }
}

pub(super) fn parse_lease(now_ms: u64, fields: &Fields) -> Result<Lease, StoreError> {
    let text = |field: &str| fields.get(field).filter(|value| !value.is_empty());
    let number = |field: &str| text(field).and_then(|value| value.parse::<u64>().ok());
    let nonsense = |what: &str| StoreError::nonsense(format!("{what} of a lease"));
    Ok(Lease {
        id: text("id").and_then(|id| id.parse().ok()).ok_or_else(|| nonsense("id"))?,
        pool: text("pool_key").and_then(|key| parse_pool(key)).ok_or_else(|| nonsense("pool"))?,
        session: text("session").and_then(|session| SessionRef::decode(session)),
        state: text("state").and_then(|state| LeaseState::parse(state)).ok_or_else(|| nonsense("state"))?,
        worker: text("worker").and_then(|id| id.parse().ok()),
        endpoint: text("endpoint").cloned(),
        token: number("token"),
        created_at_ms: number("created_at").unwrap_or_default(),
        until_ms: number("until_at"),
        used_ms: number("idle_at").or_else(|| Some(number("until_at")?.saturating_sub(number("lease_ms")?))),
        reused: number("reused") == Some(1),
        now_ms,
    })
}

fn parse_status(pool: &PoolName, fields: &Fields, counts: &HashMap<String, u64>) -> Pool {
    let text = |field: &str| fields.get(field).map(String::as_str);
    let number = |field: &str| text(field).and_then(|value| value.parse::<u64>().ok());
    let count = |field: &str| number(field).unwrap_or_default();
    let size = |set: &str| counts.get(set).copied().unwrap_or_default();
    let mut settings = PoolSettings {
        reset_mode: text("reset_mode").and_then(ResetMode::parse).unwrap_or_default(),
        confirm: text("confirm") != Some("0"),
        foresee: text("foresee") != Some("0"),
        draining: text("draining") == Some("1"),
        version: text("version").unwrap_or_default().to_owned(),
        schedule: Schedule::from_text(text("schedule").unwrap_or_default()),
        ..PoolSettings::default()
    };
    for (name, value, ..) in settings.numbers.named() {
        *value = number(name).and_then(|number| number.try_into().ok()).unwrap_or(*value);
    }
    let mut plans: Vec<Plan> = fields
        .iter()
        .filter(|(field, _)| field.starts_with("plan:"))
        .filter_map(|(_, text)| parse_plan(text))
        .collect();
    plans.sort_by_key(|plan| std::cmp::Reverse(plan.at_ms));
    let workers = WorkerState::ALL.into_iter().filter(|state| *state != WorkerState::Terminated);
    let status = PoolStatus {
        created_at_ms: count("created_at"),
        workers: workers.map(|state| (state, size(&format!("in:{}", state.as_str())))).collect(),
        spare: size("spare"),
        leases: size("leases"),
        waiting: size("waiting"),
        keyed: size("keyed"),
        idle: size("idle"),
        keyed_reused: count("keyed_reused"),
        keyed_evicted: count("keyed_evicted"),
        keyed_rebound: count("keyed_rebound"),
        runners: size("runners"),
        sessions_total: count("sessions_total"),
        reused_total: count("reused_total"),
        resets_proved: count("resets_proved"),
        resets_failed: count("resets_failed"),
        affinity_hits: count("affinity_hits"),
        affinity_misses: count("affinity_misses"),
        waits: Waits {
            since_ms: number("waits_at"),
            served: count("waits_served"),
            waited: count("waits"),
            sum_ms: count("waits_ms"),
            max_ms: count("waits_ms_max"),
        },
        starts_failed: count("starts_failed"),
        start_ms: number("start_ms_seen"),
        plans,
    };
    Pool { name: pool.clone(), settings, status }
}

fn parse_plan(text: &str) -> Option<Plan> {
    let mut words = text.split(' ');
    let mut number = || words.next()?.parse().ok();
    let (at_ms, wanted, there, starts, goes) = (number()?, number()?, number()?, number()?, number()?);
    Some(Plan { at_ms, wanted, there, starts, goes, reason: words.next()?.to_owned() })
}

/// A list in which each thing is field, value, ….
pub(super) fn all_fields(values: Vec<Value>) -> Result<Vec<Fields>, StoreError> {
    values.into_iter().map(|value| Ok(Fields::from_redis_value(value).map_err(redis::RedisError::from)?)).collect()
}
