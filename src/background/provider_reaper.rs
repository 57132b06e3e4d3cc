//! Finds what is due at the provider, and has it done: lost makers, looks, ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Leadership, while_leading};
use crate::dispatch::Dispatches;
use crate::store::Store;

/// How many are claimed in a shard at once: as many as can be begun soon, so that no claim lapses
/// while its work waits.
const BATCH_MAX: usize = 32;

pub(super) async fn run(
    store: Store,
    dispatches: Dispatches,
    leadership: Leadership,
    scan: Duration,
    stop: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(dispatches.settings().provider_concurrency_max));
    while_leading("provider", &store, &leadership, scan, &stop, |shard, term| {
        let (store, dispatches, permits) = (&store, &dispatches, &permits);
        async move {
            // The permits first: what is claimed is begun at once. Where all are in use, the next that is
            // given back goes on here and now, not at the next tick: many that end together wait for no clock.
            let Ok(mut held) = Arc::clone(permits).acquire_owned().await else { return Ok(()) };
            let more = (BATCH_MAX - 1).min(permits.available_permits());
            if let Ok(Ok(more)) = u32::try_from(more).map(|more| Arc::clone(permits).try_acquire_many_owned(more)) {
                held.merge(more);
            }
            let claim = dispatches.settings().claim;
            for due in store.reap_provider(shard, term, held.num_permits(), claim).await? {
                let permit = held.split(1);
                let worker = dispatches.clone();
                dispatches.work().spawn(async move {
                    Box::pin(worker.attend_to(due)).await;
                    drop(permit);
                });
            }
            Ok(())
        }
    })
    .await;
}
