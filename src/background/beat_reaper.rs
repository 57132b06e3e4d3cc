//! Finds the agents that reported and fell silent.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::field::Empty;

use super::{Leadership, while_leading};
use crate::dispatch::Dispatches;
use crate::store::{Silence, Store};

const BATCH_MAX: usize = 500;

pub(super) async fn run(
    store: Store,
    dispatches: Dispatches,
    leadership: Leadership,
    scan: Duration,
    stop: CancellationToken,
) {
    let believed = dispatches.settings().heartbeat_believed;
    while_leading("beat", &store, &leadership, scan, &stop, |shard, term| {
        let store = &store;
        async move {
            let Silence { silent, braked } = store.reap_beat(shard, term, BATCH_MAX, believed).await?;
            if braked > 0 {
                tracing::error!(
                    line.kept = Empty,
                    alert = "heartbeats_braked",
                    braked,
                    shard = shard.0,
                    "half of the agents fell silent at once: they are given one more period"
                );
            }
            if silent > 0 {
                tracing::info!(line.kept = Empty, silent, shard = shard.0, "agents fell silent");
            }
            Ok(())
        }
    })
    .await;
}
