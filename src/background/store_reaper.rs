//! Forgets what has only to be forgotten in Redis.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Leadership, while_leading};
use crate::store::Store;

const BATCH_MAX: usize = 500;
/// Nobody waits for this: once a second will do.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn run(store: Store, leadership: Leadership, stop: CancellationToken) {
    while_leading("store", &store, &leadership, INTERVAL, &stop, |shard, term| {
        let store = &store;
        async move { store.reap_store(shard, term, BATCH_MAX).await.map(|_| ()) }
    })
    .await;
}
