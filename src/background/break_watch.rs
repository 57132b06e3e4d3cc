//! Notices breaks of the store: it was away, came back empty, or is another server than before. After one it
//! may be an older copy of itself, so each replica raises the floor of the tokens by what it has seen.

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;

use crate::store::keys::Shard;
use crate::store::{Store, StoreError};

/// How often Redis is asked who it is.
const INTERVAL: Duration = Duration::from_secs(1);

/// Counts breaks, for those who have to look anew.
pub(super) async fn run(store: Store, breaks: watch::Sender<u64>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut known, mut was_away) = (None, false);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let Ok(identity) = store.identity().await else {
            was_away = true;
            continue;
        };
        let is_other = known.as_ref().is_some_and(|known| *known != identity);
        if was_away || is_other {
            // Said again at the next tick where it fails now.
            if let Err(error) = raise_floors(&store).await {
                tracing::warn!(line.notice = Empty, %error, "the floor of the tokens could not be raised after a break");
                continue;
            }
            tracing::warn!(line.notice = Empty, is_other, "Redis had a break");
            breaks.send_modify(|count| *count += 1);
        }
        (known, was_away) = (Some(identity), false);
    }
}

async fn raise_floors(store: &Store) -> Result<(), StoreError> {
    let floor = store.token_seen();
    if floor > 0 {
        try_join_all((0..store.shards()).map(|shard| store.raise_token_floor(Shard(shard), floor))).await?;
    }
    Ok(())
}
