//! Breakers for others: a caller asks for each call, and reports how it ended.

use std::time::Duration;

use uuid::Uuid;

use super::{Answer, Breaker, BreakerError, BreakerPage, Forced, Guard, JITTER_MAX, Outcome, Rules, Run, Verdict};
use crate::cursor::Walk;
use crate::idempotency::Once;
use crate::name::Name;
use crate::store::keys::Shard;
use crate::store::{Asked, Report, Store, Wanted};

/// How many breakers a tenant may have in a shard.
const OF_SHARD_MAX: u32 = 100;

/// The breakers of all tenants. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Breakers {
    store: Store,
    own: Vec<Guard>,
}

/// What somebody who asked for a call is told.
#[derive(Debug, Clone)]
pub struct Permit {
    /// Names the call in the report.
    pub id: String,
    /// Whether the call may be made, and how things are.
    pub answer: Answer,
}

impl Permit {
    /// Whether the call may be made.
    pub fn is_allowed(&self) -> bool {
        self.answer.verdict != Verdict::Refused
    }
}

impl Breakers {
    /// The breakers of the store; `own` are those that greenroom's own calls go through.
    pub fn new(store: Store, own: Vec<Guard>) -> Self {
        Self { store, own }
    }

    /// One breaker. One of greenroom's own that goes on alone is told as this replica has it.
    pub async fn get(&self, tenant: &Name, name: &Name) -> Result<Breaker, BreakerError> {
        if let Some(alone) = self.own(tenant, name).and_then(Guard::alone) {
            return Ok(alone);
        }
        self.store.breaker(tenant, name).await?.ok_or(BreakerError::NotFound)
    }

    /// A page of the tenant's breakers: by shard, then by name.
    pub async fn list(&self, tenant: &Name, cursor: Option<&str>, limit: u32) -> Result<BreakerPage, BreakerError> {
        let mut walk = Walk::begin(cursor, limit).ok_or(BreakerError::BadCursor)?;
        let mut breakers = Vec::new();
        for shard in walk.first..self.store.shards() {
            let (after, left) = (walk.after(), walk.left);
            let found = self.store.page_of_breakers(Shard(shard), tenant, after.as_deref(), left).await?;
            let is_full = walk.is_full_with(shard, &found);
            breakers.extend(found.into_iter().filter_map(|(_, breaker)| breaker));
            if is_full {
                break;
            }
        }
        Ok(BreakerPage { breakers, next_cursor: walk.next_cursor })
    }

    /// Asks for a call. The breaker is made where there is none; with rules, it has these from now on.
    pub async fn permit(
        &self,
        tenant: &Name,
        name: &Name,
        rules: Option<&Rules>,
        once: Option<&Once>,
    ) -> Result<Permit, BreakerError> {
        self.not_own(tenant, name)?;
        // The same request is the same permit.
        let id = once.map_or_else(|| Uuid::now_v7().simple().to_string(), |once| once.record.clone());
        let shipped = Rules::default();
        let rules = rules.map_or(Wanted::OwnOr(&shipped), Wanted::These);
        let asked = Asked { tenant, name, rules, once };
        let answer = self.store.breaker_permit(asked, &id, OF_SHARD_MAX).await?;
        Ok(Permit { id, answer })
    }

    /// Takes in how a call ended that was permitted in that generation, under that permit.
    pub async fn report(
        &self,
        tenant: &Name,
        name: &Name,
        (generation, permit): (u64, &str),
        (failed, took): (bool, Option<Duration>),
        once: Option<&Once>,
    ) -> Result<Answer, BreakerError> {
        self.not_own(tenant, name)?;
        let jitter = rand::random_range(0..=JITTER_MAX);
        let runs = [Run { calls: 1, outcome: Outcome { failed, slow: false } }];
        let report = Report { generation, permit: Some(permit), runs: &runs, took, jitter, ..Report::default() };
        Ok(self.store.breaker_report(Asked { tenant, name, rules: Wanted::Own, once }, &report).await?)
    }

    /// Holds a breaker in a state, for so long or until it is let go; `None` lets it go.
    pub async fn force(
        &self,
        tenant: &Name,
        name: &Name,
        forced: Option<Forced>,
        (lasts, note): (Option<Duration>, &str),
        once: Option<&Once>,
    ) -> Result<Breaker, BreakerError> {
        let rules = self.own(tenant, name).map_or(Wanted::Own, |own| Wanted::These(own.rules()));
        Ok(self.store.force_breaker(Asked { tenant, name, rules, once }, forced, lasts, note).await?)
    }

    /// Closes a breaker as if it were new.
    pub async fn reset(&self, tenant: &Name, name: &Name, once: Option<&Once>) -> Result<Breaker, BreakerError> {
        let rules = self.own(tenant, name).map_or(Wanted::Own, |own| Wanted::These(own.rules()));
        Ok(self.store.reset_breaker(Asked { tenant, name, rules, once }).await?)
    }

    fn own(&self, tenant: &Name, name: &Name) -> Option<&Guard> {
        self.own.iter().find(|guard| tenant.is_default_tenant() && guard.name() == name)
    }

    fn not_own(&self, tenant: &Name, name: &Name) -> Result<(), BreakerError> {
        if self.own(tenant, name).is_some() { Err(BreakerError::Own) } else { Ok(()) }
    }
}
