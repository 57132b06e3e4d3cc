//! Keeps the pools: acts on what is overdue, ends leases that nobody renewed, and brings each pool to its size.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::field::Empty;

use super::{Leadership, while_leading};
use crate::pool::{PoolName, Pools};
use crate::store::keys::Shard;
use crate::store::{Lapsed, Store, StoreError};

const BATCH_MAX: usize = 100;
/// How often the sizes are looked at where nobody waits; who waits has the pool looked at at once.
const PLAN_EVERY: Duration = Duration::from_secs(1);
/// Pools of a shard that are asked for at once.
const PAGE: u32 = 500;

/// What is known of a shard.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    planned: Option<Instant>,
    has_pools: bool,
}

pub(super) async fn run(store: Store, pools: Pools, leadership: Leadership, scan: Duration, stop: CancellationToken) {
    let known: Vec<_> = (0..store.shards()).map(|_| Mutex::new(Known::default())).collect();
    while_leading("pools", &store, &leadership, scan, &stop, |shard, term| {
        let (store, pools, known) = (&store, &pools, &known[usize::from(shard.0)]);
        async move {
            let now = Instant::now();
            let Known { planned, mut has_pools } = *known.lock().unwrap_or_else(PoisonError::into_inner);
            if planned.is_none_or(|planned| now.duration_since(planned) >= PLAN_EVERY) {
                has_pools = plan(store, pools, shard).await?;
                *known.lock().unwrap_or_else(PoisonError::into_inner) = Known { planned: Some(now), has_pools };
            }
            if has_pools {
                reap(store, pools, shard, term).await?;
            }
            Ok(())
        }
    })
    .await;
}

/// Brings every pool of the shard to its size; tells whether there are any.
async fn plan(store: &Store, pools: &Pools, shard: Shard) -> Result<bool, StoreError> {
    let mut after: Option<PoolName> = None;
    let mut has_pools = false;
    loop {
        let page = store.pools_of_shard(shard, after.as_ref(), PAGE).await?;
        for pool in &page {
            has_pools = true;
            match pools.plan(pool, false).await {
                Ok(plan) if plan.starts + plan.goes > 0 => tracing::info!(
                    line.kept = Empty,
                    tenant = pool.tenant.as_str(),
                    pool = pool.pool.as_str(),
                    wanted = plan.wanted,
                    there = plan.there,
                    starts = plan.starts,
                    goes = plan.goes,
                    reason = plan.reason,
                    "a pool changes its size"
                ),
                Ok(_) => {}
                Err(crate::pool::PoolError::Store(error)) => return Err(error),
                Err(error) => tracing::warn!(%error, pool = pool.pool.as_str(), "a pool was not brought to its size"),
            }
        }
        after = page.into_iter().last();
        if after.is_none() {
            return Ok(has_pools);
        }
    }
}

async fn reap(store: &Store, pools: &Pools, shard: Shard, term: u64) -> Result<(), StoreError> {
    store.reap_pools(shard, term, BATCH_MAX).await?;
    let Lapsed { leases, workers, braked } = store.reap_leases(shard, term, BATCH_MAX, pools.believed()).await?;
    if braked > 0 {
        tracing::error!(
            line.kept = Empty,
            alert = "leases_braked",
            braked,
            shard = shard.0,
            "half of the leases and runners fell silent at once: they are given one more period"
        );
    }
    if leases + workers > 0 {
        tracing::info!(line.kept = Empty, leases, workers, shard = shard.0, "leases lapsed, workers were lost");
    }
    Ok(())
}
