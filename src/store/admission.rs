//! The scripts that say whether a new dispatch may be made: agents that drain, bounds on live dispatches.

use std::collections::HashMap;

use super::dispatch::Fields;
use super::keys::{Shard, parse_place, shard_of_tenant};
use super::{Store, StoreError, script};
use crate::dispatch::{Bound, Place};
use crate::idempotency::Once;
use crate::name::Name;

/// The bounds on live dispatches; none where there may be as many as there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Of one tenant.
    pub per_tenant: Option<u32>,
    /// Of one agent of the tenant.
    pub per_agent: Option<u32>,
}

impl Bounds {
    /// Whether there are any.
    pub fn is_some(self) -> bool {
        self.per_tenant.is_some() || self.per_agent.is_some()
    }
}

/// A place that counts in the bounds, and when it was taken, in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The place.
    pub place: Place,
    /// When, by Redis's clock.
    pub at_ms: u64,
}

/// How a place counts: by what is after the tenant in its name.
fn member(place: &Place) -> String {
    format!("{}:{}", place.room.encoded(), place.agent.encoded())
}

impl Store {
    fn tenant_shard(&self, tenant: &Name) -> Shard {
        shard_of_tenant(tenant, self.shards())
    }

    /// The tenant's agents that drain, each with since when, in milliseconds since 1970.
    pub async fn draining(&self, tenant: &Name) -> Result<HashMap<String, u64>, StoreError> {
        let mut cmd = redis::Cmd::new();
        cmd.arg("HGETALL").arg(self.tenant_shard(tenant).draining(tenant));
        let found: Fields = self.command(&cmd).await?;
        Ok(found.into_iter().filter_map(|(agent, since)| Some((agent, since.parse().ok()?))).collect())
    }

    /// Drains the agent, or takes that back; returns since when it drains.
    pub async fn drain_agent(
        &self,
        tenant: &Name,
        agent: &Name,
        drains: bool,
        once: Option<&Once>,
    ) -> Result<Option<u64>, StoreError> {
        let shard = self.tenant_shard(tenant);
        let mut keys = vec![shard.draining(tenant), shard.events()];
        keys.extend(once.map(|once| shard.once(&once.record)));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let body = once.map(|once| once.body.clone()).unwrap_or_default();
        let drains = if drains { "1" } else { "0" };
        let args = [
            self.inner.clock.argument(),
            tenant.encoded().into_owned(),
            agent.encoded().into_owned(),
            drains.to_owned(),
            body,
        ];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let (since,): (String,) = self.call(&script::AGENT_DRAIN, &keys, &args).await?;
        Ok(since.parse().ok())
    }

    /// Takes a place in the bounds; tells which one is reached where there is none left, and Redis's time.
    pub async fn take_quota(&self, place: &Place, bounds: Bounds) -> Result<Option<(Bound, u64)>, StoreError> {
        let bound = |bound: Option<u32>| bound.unwrap_or_default().to_string();
        let args = [self.inner.clock.argument(), member(place), bound(bounds.per_tenant), bound(bounds.per_agent)];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let [tenant, agent] = self.quota_keys(place);
        let (verdict, now_ms): (String, u64) = self.call(&script::QUOTA_TAKE, &[&tenant, &agent], &args).await?;
        match verdict.as_str() {
            "ok" => Ok(None),
            "tenant" => Ok(Some((Bound::Tenant, now_ms))),
            "agent" => Ok(Some((Bound::Agent, now_ms))),
            other => Err(StoreError::nonsense(format!("bound {other}"))),
        }
    }

    /// Gives a place in the bounds back, unless it was taken later than that.
    pub async fn give_quota(&self, place: &Place, until_ms: u64) -> Result<bool, StoreError> {
        let [tenant, agent] = self.quota_keys(place);
        let args = [until_ms.to_string(), member(place)];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        self.call::<u8>(&script::QUOTA_GIVE, &[&tenant, &agent], &args).await.map(|given| given == 1)
    }

    /// Those of a tenant that count in its bound, oldest first, at most so many.
    pub async fn taken_quota(&self, tenant: &Name, limit: u32) -> Result<Vec<Taken>, StoreError> {
        let mut cmd = redis::Cmd::new();
        let key = self.tenant_shard(tenant).quota(tenant);
        cmd.arg("ZRANGE").arg(key).arg(0).arg(limit.saturating_sub(1)).arg("WITHSCORES");
        let found: Vec<(String, u64)> = self.command(&cmd).await?;
        let name = tenant.encoded();
        let taken =
            |(member, at_ms): (String, u64)| Some(Taken { place: parse_place(&format!("{name}:{member}"))?, at_ms });
        Ok(found.into_iter().filter_map(taken).collect())
    }

    fn quota_keys(&self, place: &Place) -> [String; 2] {
        let shard = self.tenant_shard(&place.tenant);
        [shard.quota(&place.tenant), shard.quota_of_agent(&place.tenant, &place.agent)]
    }
}
