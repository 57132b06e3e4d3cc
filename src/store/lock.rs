//! The scripts of locks.

use std::time::Duration;

use super::keys::{Shard, shard_of_lock};
use super::{Store, StoreError, script};
use crate::name::Name;

/// Who has a lock. Times are milliseconds since 1970 by Redis's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whether it is the caller, where the caller asked for it.
    pub is_held: bool,
    /// The token of who has it: grows with every new holder.
    pub token: u64,
    /// Who has it.
    pub owner: String,
    /// Since when.
    pub since_ms: u64,
    /// When the lease ends.
    pub until_ms: u64,
    /// How long its lease still lasts.
    pub left: Duration,
}

/// A grant as the scripts tell it.
type Told = (u8, u64, String, u64, u64, u64);

impl From<Told> for Grant {
    fn from((held, token, owner, since_ms, until_ms, left_ms): Told) -> Self {
        Self { is_held: held == 1, token, owner, since_ms, until_ms, left: Duration::from_millis(left_ms) }
    }
}

impl Store {
    /// Takes the lock where nobody has it. Where replicas have to have it, too, and do not answer, it is unknown.
    pub async fn lock(&self, tenant: &Name, name: &Name, owner: &str, lease: Duration) -> Result<Grant, StoreError> {
        let shard = shard_of_lock(tenant, name, self.shards());
        self.take_lock(&shard.lock(tenant, name), shard, owner, lease).await
    }

    /// Keeps the lock for longer.
    pub async fn renew_lock(
        &self,
        tenant: &Name,
        name: &Name,
        (owner, token): (&str, u64),
        lease: Duration,
    ) -> Result<Grant, StoreError> {
        let shard = shard_of_lock(tenant, name, self.shards());
        let args = [self.inner.clock.argument(), owner.to_owned(), token.to_string(), lease.as_millis().to_string()];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let told: Told = self.call_and_wait(&script::LOCK_RENEW, &[&shard.lock(tenant, name)], &args).await?;
        Ok(told.into())
    }

    /// Gives the lock back; false where nobody has it.
    pub async fn unlock(&self, tenant: &Name, name: &Name, owner: &str, token: u64) -> Result<bool, StoreError> {
        let shard = shard_of_lock(tenant, name, self.shards());
        self.give_lock(&shard.lock(tenant, name), owner, Some(token)).await
    }

    /// Who has the lock, if anybody.
    pub async fn lock_holder(&self, tenant: &Name, name: &Name) -> Result<Option<Grant>, StoreError> {
        let (shard, now) = (shard_of_lock(tenant, name, self.shards()), self.inner.clock.argument());
        let key = shard.lock(tenant, name);
        let told: Option<Told> = self.call(&script::LOCK_GET, &[&key], &[now.as_bytes()]).await?;
        Ok(told.map(Grant::from))
    }

    /// The name under which hints for the lock arrive.
    pub fn lock_hint_name(tenant: &Name, name: &Name) -> String {
        format!("lock:{}:{}", tenant.encoded(), name.encoded())
    }

    pub(super) async fn take_lock(
        &self,
        key: &str,
        shard: Shard,
        owner: &str,
        lease: Duration,
    ) -> Result<Grant, StoreError> {
        let (now, lease) = (self.inner.clock.argument(), lease.as_millis().to_string());
        let args: [&[u8]; 3] = [now.as_bytes(), owner.as_bytes(), lease.as_bytes()];
        let told: Told = self.call_and_wait(&script::LOCK_ACQUIRE, &[key, &shard.shard()], &args).await?;
        let grant = Grant::from(told);
        self.see_token(grant.token);
        Ok(grant)
    }

    pub(super) async fn give_lock(&self, key: &str, owner: &str, token: Option<u64>) -> Result<bool, StoreError> {
        let token = token.map(|token| token.to_string()).unwrap_or_default();
        self.call::<u8>(&script::LOCK_RELEASE, &[key], &[owner.as_bytes(), token.as_bytes()]).await.map(|had| had == 1)
    }
}
