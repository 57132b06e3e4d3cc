//! What callers and runners ask of pools.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Assignment, Lease, LeaseState, Plan, Pool, PoolError, PoolName, PoolSettings, Runner, SessionRef, Synced, Wish,
    Worker,
};
use crate::cursor::{self, Walk};
use crate::id::{LeaseId, WorkerId, made_at_ms};
use crate::idempotency::Once;
use crate::name::Name;
use crate::store::keys::{Shard, shard_of_pool};
use crate::store::{Heard, Hints, LeaseAsked, Refusal, Store, StoreError};

/// The longest anyone waits for a hint before asking again: a lost hint costs no more.
const POLL_MAX: Duration = Duration::from_secs(1);
/// How many pools a tenant may have in a shard.
const OF_SHARD_MAX: u32 = 1000;
/// How much sooner than its age a worker retires at most, in thousandths.
const AGE_JITTER_MAX: u32 = 100;
/// A runner is heard this often within the time that it is believed.
const HEARTBEATS: u32 = 3;

/// The pools of all tenants. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pools {
    pub(super) store: Store,
    hints: Hints,
    shipped: PoolSettings,
    believed: Duration,
    leaving: CancellationToken,
}

/// Some of a tenant's pools.
#[derive(Debug)]
pub struct PoolsPage {
    /// The pools, by shard and name.
    pub pools: Vec<Pool>,
    /// Where the next page begins; none at the end.
    pub next_cursor: Option<String>,
}

/// Some of a pool's workers.
#[derive(Debug)]
pub struct WorkersPage {
    /// The workers, the oldest first.
    pub workers: Vec<Worker>,
    /// Where the next page begins; none at the end.
    pub next_cursor: Option<String>,
}

impl Pools {
    /// The pools of the store. A pool that nobody defined is as `shipped`; a runner that is not heard for `believed` is
    /// taken for gone.
    pub fn new(store: Store, hints: Hints, shipped: PoolSettings, believed: Duration) -> Self {
        Self { store, hints, shipped, believed, leaving: CancellationToken::new() }
    }

    /// The same, where nobody waits any longer once the replica leaves.
    #[must_use]
    pub fn until(self, leaving: CancellationToken) -> Self {
        Self { leaving, ..self }
    }

    /// How a pool is where nobody said so.
    pub fn shipped(&self) -> &PoolSettings {
        &self.shipped
    }

    /// For how long a silent runner is believed to live.
    pub fn believed(&self) -> Duration {
        self.believed
    }

    /// Gives a pool its settings; returns whether it was made.
    pub async fn define(
        &self,
        pool: &PoolName,
        settings: &PoolSettings,
        once: Option<&Once>,
    ) -> Result<bool, PoolError> {
        let made = self.store.define_pool(pool, settings, false, OF_SHARD_MAX, once).await?;
        self.plan(pool, false).await?;
        Ok(made)
    }

    /// Makes the pool as it is shipped, where it is not there.
    async fn ensure(&self, pool: &PoolName) -> Result<(), PoolError> {
        self.store.define_pool(pool, &self.shipped, true, OF_SHARD_MAX, None).await?;
        Ok(())
    }

    /// One pool.
    pub async fn get(&self, pool: &PoolName) -> Result<Pool, PoolError> {
        self.store.pool(pool).await?.ok_or(PoolError::NotFound)
    }

    /// A page of the tenant's pools.
    pub async fn list(&self, tenant: &Name, cursor: Option<&str>, limit: u32) -> Result<PoolsPage, PoolError> {
        let mut walk = Walk::begin(cursor, limit).ok_or(PoolError::BadCursor)?;
        let mut pools = Vec::new();
        for shard in walk.first..self.store.shards() {
            let (after, left) = (walk.after(), walk.left);
            let found = self.store.page_of_pools(Shard(shard), tenant, after.as_deref(), left).await?;
            let is_full = walk.is_full_with(shard, &found);
            for (_, name) in found {
                pools.extend(self.store.pool(&PoolName { tenant: tenant.clone(), pool: name }).await?);
            }
            if is_full {
                break;
            }
        }
        Ok(PoolsPage { pools, next_cursor: walk.next_cursor })
    }

    /// Brings the pool to the size that it needs, or with `dry` only says what that would be.
    pub async fn plan(&self, pool: &PoolName, dry: bool) -> Result<Plan, PoolError> {
        let jitter = rand::random_range(0..=AGE_JITTER_MAX);
        let planned = self.store.plan_pool(pool, jitter, dry).await?.ok_or(PoolError::NotFound)?;
        Ok(planned.plan)
    }

    /// A worker for a session: at once, or when it is its turn. Who gives up while waiting leaves the line.
    pub async fn lease(&self, pool: &PoolName, wish: &Wish, once: Option<&Once>) -> Result<Lease, PoolError> {
        let mut id = LeaseId::new(shard_of_pool(pool, self.store.shards()).0);
        let mut hint = self.hints.wait(&Store::lease_hint_name(id), POLL_MAX);
        let mut asked = self.ask(pool, id, wish, once).await?;
        let mut reused = false;
        // Dropped with the future: whoever hangs up is not given a worker.
        let mut place = Place { store: &self.store, tenant: &pool.tenant, id: None };
        loop {
            let lease = match asked {
                LeaseAsked::Held(lease) => {
                    place.id = None;
                    return Ok(lease);
                }
                LeaseAsked::None => {
                    place.id = None;
                    return Err(PoolError::NoReadyWorker);
                }
                LeaseAsked::Pending(lease) => lease,
            };
            if place.id.is_none() {
                place.id = Some(lease.id);
                reused = lease.reused;
                if lease.id != id {
                    // The same session asked before: its lease is meant.
                    id = lease.id;
                    hint = self.hints.wait(&Store::lease_hint_name(id), POLL_MAX);
                }
                if lease.state == LeaseState::Waiting {
                    self.plan(pool, false).await?;
                }
            }
            tokio::select! {
                () = hint => {}
                () = self.leaving.cancelled() => return Err(PoolError::NoReadyWorker),
            }
            hint = self.hints.wait(&Store::lease_hint_name(id), POLL_MAX);
            asked = self.store.confirm_lease(pool, id, reused, once).await?;
        }
    }

    /// Asks for a worker. Where as many keyed sessions are in use as may, it is asked again until one is idle, or for as
    /// long as the wish waits; there is no line for that.
    async fn ask(
        &self,
        pool: &PoolName,
        id: LeaseId,
        wish: &Wish,
        once: Option<&Once>,
    ) -> Result<LeaseAsked, PoolError> {
        let (until, mut wish) = (Instant::now() + wish.wait, wish.clone());
        loop {
            match self.store.ask_for_worker(pool, id, &wish, once).await {
                Ok(asked) => return Ok(asked),
                Err(StoreError::Refused(Refusal::InUse)) if !wish.wait.is_zero() => {}
                Err(StoreError::Refused(Refusal::NotOwner)) => return Err(PoolError::WorkerBusy),
                Err(StoreError::Refused(Refusal::TooMany)) => return Err(PoolError::LineFull),
                Err(StoreError::Refused(Refusal::Ending)) => return Err(PoolError::Draining),
                Err(error) => return Err(error.into()),
            }
            let idle = self.hints.wait(&Store::keyed_hint_name(pool), POLL_MAX.min(wish.wait));
            tokio::select! {
                () = idle => {}
                () = self.leaving.cancelled() => return Err(PoolError::KeysInUse),
            }
            wish.wait = until.saturating_duration_since(Instant::now());
        }
    }

    /// Keeps a lease for longer; returns when it ends.
    pub async fn renew(
        &self,
        tenant: &Name,
        lease: (LeaseId, u64),
        lasts: Option<Duration>,
        once: Option<&Once>,
    ) -> Result<u64, PoolError> {
        match self.store.renew_lease(tenant, lease, lasts, once).await {
            Err(StoreError::Refused(Refusal::NotOwner)) if self.may_come_back(lease.0).await? => Err(PoolError::Unsure),
            renewed => Ok(renewed?),
        }
    }

    /// Whether a lease may be one of before Redis came back empty, of which its runner has still to tell: for as long as
    /// silence counts for nothing. Ids tell their times by replicas' clocks, enough for which of two refusals is told.
    async fn may_come_back(&self, id: LeaseId) -> Result<bool, PoolError> {
        let Some(schema) = self.store.read_schema().await? else { return Ok(true) };
        let Ok(born_ms) = schema.store_id.parse().map(made_at_ms) else { return Ok(false) };
        let age = Duration::from_millis(LeaseId::new(0).made_at_ms().saturating_sub(born_ms));
        Ok(age < self.believed && id.made_at_ms() < born_ms)
    }

    /// Gives a lease back. One that is over counts as given back.
    pub async fn release(
        &self,
        tenant: &Name,
        (id, token): (LeaseId, u64),
        once: Option<&Once>,
    ) -> Result<(), PoolError> {
        self.store.release_lease(tenant, (id, Some(token)), once).await?;
        Ok(())
    }

    /// One lease.
    pub async fn lease_of(&self, tenant: &Name, id: LeaseId) -> Result<Lease, PoolError> {
        let lease = self.store.lease(id).await?;
        lease.filter(|lease| lease.pool.tenant == *tenant).ok_or(PoolError::NoSuchLease)
    }

    /// The lease that a named session holds, and what its worker was told, as far as that is known. It lasts at least
    /// for `lasts` from now on.
    pub async fn held_by(
        &self,
        pool: &PoolName,
        session: &SessionRef,
        lasts: Option<Duration>,
    ) -> Result<Option<(Lease, Option<Assignment>)>, PoolError> {
        Ok(self.store.lease_of_session(pool, session, lasts).await?)
    }

    /// Ends a lease, whoever holds it. One that is not there counts as ended.
    pub async fn end_lease(&self, tenant: &Name, id: LeaseId) -> Result<(), PoolError> {
        match self.lease_of(tenant, id).await {
            Ok(lease) => Ok(self.store.release_lease(tenant, (id, lease.token), None).await.map(drop)?),
            Err(PoolError::NoSuchLease) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// One worker; also one that is gone, for an hour.
    pub async fn worker(&self, tenant: &Name, id: WorkerId) -> Result<Worker, PoolError> {
        let worker = self.store.worker(id).await?;
        worker.filter(|worker| worker.pool.tenant == *tenant).ok_or(PoolError::NoSuchWorker)
    }

    /// A page of a pool's workers.
    pub async fn workers(&self, pool: &PoolName, cursor: Option<&str>, limit: u32) -> Result<WorkersPage, PoolError> {
        let first = cursor::rank(cursor).ok_or(PoolError::BadCursor)?;
        let limit = limit.clamp(1, cursor::LIMIT_MAX);
        let workers = self.store.page_of_workers(pool, first, limit).await?;
        let is_full = workers.len() >= limit as usize;
        let next_cursor = is_full.then(|| cursor::of_rank(first + u64::from(limit)));
        Ok(WorkersPage { workers, next_cursor })
    }

    /// Says what is to become of a worker: `cordon`, `uncordon`, `drain` or `recycle`.
    pub async fn mark(
        &self,
        tenant: &Name,
        id: WorkerId,
        mark: &str,
        once: Option<&Once>,
    ) -> Result<Worker, PoolError> {
        self.store.mark_worker(tenant, id, mark, once).await.map_err(|error| match error {
            StoreError::Refused(Refusal::NotFound) => PoolError::NoSuchWorker,
            error => error.into(),
        })
    }

    /// Names the store: another one where Redis came back empty.
    pub async fn store_id(&self) -> Result<String, PoolError> {
        Ok(self.store.create_schema().await?.store_id)
    }

    /// A runner tells what it runs, and hears what is to become of its workers: at once where there is something new since
    /// the answer that it shows, else as soon as there is, or after `wait`. Ends where it tells something newer meanwhile.
    pub async fn sync(
        &self,
        pool: &PoolName,
        runner: &Runner,
        known: Option<&str>,
        wait: Duration,
    ) -> Result<Synced, PoolError> {
        let heartbeat = self.believed / HEARTBEATS;
        let deadline = Instant::now() + wait.min(heartbeat);
        let known = known.and_then(|known| known.parse().ok());
        let next_hint = || self.hints.wait(&Store::runner_hint_name(pool, &runner.name), POLL_MAX);
        let mut hint = next_hint();
        let mut heard = self.hear(pool, runner, known).await?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let has_news = known != Some(heard.told) || !heard.complete && !heard.instructions.is_empty();
            if has_news || left.is_zero() || self.leaving.is_cancelled() {
                return Ok(synced(heard, heartbeat));
            }
            tokio::select! {
                _ = tokio::time::timeout(left, hint) => {}
                () = self.leaving.cancelled() => {}
            }
            hint = next_hint();
            let later = self.store.await_orders(pool, runner, runner.report, known, self.believed).await?;
            // Where there is nothing new, the first answer holds.
            if known != Some(later.told) {
                heard = later;
            }
        }
    }

    /// Hears a report of a runner, for the first time.
    async fn hear(&self, pool: &PoolName, runner: &Runner, known: Option<u64>) -> Result<Heard, PoolError> {
        if let Some(since) = runner.since.filter(|_| runner.workers.is_empty() && !runner.draining) {
            return Ok(self.store.await_orders(pool, runner, since, known, self.believed).await?);
        }
        let mut runner = runner.clone();
        // An id of another shard is none of this pool's: no answer names it, so it is stopped.
        let shard = shard_of_pool(pool, self.store.shards()).0;
        runner.workers.retain(|worker| worker.id.parse().is_ok_and(|id: WorkerId| id.shard() == shard));
        for worker in &mut runner.workers {
            worker.lease = worker.lease.take().filter(|id| id.parse().is_ok_and(|id: LeaseId| id.shard() == shard));
        }
        loop {
            match self.store.sync_runner(pool, &runner, known, self.believed).await {
                Err(StoreError::Refused(Refusal::NotFound)) => self.ensure(pool).await?,
                answer => return Ok(answer?),
            }
        }
    }
}

/// A place in line, which is left where nobody waits in it any longer.
struct Place<'a> {
    store: &'a Store,
    tenant: &'a Name,
    id: Option<LeaseId>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.id, tokio::runtime::Handle::try_current()) else { return };
        let (store, tenant) = (self.store.clone(), self.tenant.clone());
        runtime.spawn(async move {
            // Where that fails, the offer lapses by itself.
            let _ = store.release_lease(&tenant, (id, None), None).await;
        });
    }
}

fn synced(heard: Heard, heartbeat: Duration) -> Synced {
    let heartbeat_ms = u64::try_from(heartbeat.as_millis()).unwrap_or(u64::MAX);
    let Heard { health_ms, told, complete, instructions } = heard;
    Synced { revision: told.to_string(), complete, instructions, health_ms, heartbeat_ms }
}
