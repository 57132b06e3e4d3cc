//! The scripts of sessions: a lease and its worker, seen together.

use redis::Value;

use super::dispatch::Fields;
use super::keys::pool_key;
use super::pool::{all_fields, parse_lease};
use super::worker::parse_worker;
use super::{Store, StoreError, script};
use crate::pool::{PoolName, Session, SessionRef};

impl Store {
    /// Sessions of a pool that have a worker, the oldest first.
    pub async fn page_of_sessions(&self, pool: &PoolName, first: u64, limit: u32) -> Result<Vec<Session>, StoreError> {
        let shard = self.shard_of(pool);
        let (keys, own) = ([format!("{}:leases", shard.pool(pool))], [first.to_string(), limit.to_string()]);
        let (now_ms, parts) = Self::told(self.call_pool(&script::SESSION_PAGE, shard, &keys, &own, None, &[]).await?)?;
        let found = parts.chunks_exact(2).map(|parts| session(now_ms, &parts[0], &parts[1]));
        Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// One session; also one that waits in line.
    pub async fn session(&self, pool: &PoolName, of: &SessionRef) -> Result<Option<Session>, StoreError> {
        let shard = self.shard_of(pool);
        let told = self.call_pool(&script::SESSION_GET, shard, &[shard.session(pool, of)], &[], None, &[]).await?;
        let (now_ms, parts) = Self::told(told)?;
        match parts.as_slice() {
            [lease, worker] => session(now_ms, lease, worker),
            _ => Err(StoreError::nonsense("a session")),
        }
    }

    /// Ends a session, whoever holds it. False where there is none.
    pub async fn end_session(&self, pool: &PoolName, of: &SessionRef) -> Result<bool, StoreError> {
        let shard = self.shard_of(pool);
        let keys = [shard.session(pool, of)];
        let known: u8 = self.call_pool(&script::SESSION_END, shard, &keys, &[pool_key(pool)], None, &[]).await?;
        Ok(known == 1)
    }

    /// The time, and the hashes that follow it.
    fn told(mut told: Vec<Value>) -> Result<(u64, Vec<Fields>), StoreError> {
        let rest = told.split_off(told.len().min(1));
        match told.as_slice() {
            [Value::Int(now)] => Ok((u64::try_from(*now).unwrap_or_default(), all_fields(rest)?)),
            _ => Err(StoreError::nonsense("no time")),
        }
    }
}

/// One that is over by now is none.
fn session(now_ms: u64, lease: &Fields, worker: &Fields) -> Result<Option<Session>, StoreError> {
    if lease.is_empty() {
        return Ok(None);
    }
    let worker = if worker.is_empty() { None } else { Some(parse_worker(worker)?) };
    Ok(Some(Session { lease: parse_lease(now_ms, lease)?, worker }))
}
