//! The election of a leader: one replica reaps for all. It is an optimisation, not a lock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use uuid::Uuid;

use super::BackgroundOptions;
use crate::store::keys::Shard;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

/// Whether this replica leads. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Leadership {
    held: Arc<Mutex<Option<(u64, Instant)>>>,
}

impl Leadership {
    /// The term, while this replica leads. A lease that could not be renewed in time is over here
    /// before it is over in Redis.
    pub fn term(&self) -> Option<u64> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.filter(|(_, until)| Instant::now() < *until).map(|(term, _)| term)
    }

    fn set(&self, held: Option<(u64, Instant)>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }
}

/// The loop that campaigns and renews.
#[derive(Debug)]
pub struct Elector {
    store: Store,
    owner: String,
    lease: Duration,
    renew: Duration,
    leadership: Leadership,
    metrics: Arc<Metrics>,
}

impl Elector {
    /// An elector with a name of its own.
    pub fn new(store: Store, options: &BackgroundOptions, metrics: Arc<Metrics>) -> (Self, Leadership) {
        let leadership = Leadership::default();
        let elector = Self {
            store,
            owner: Uuid::now_v7().to_string(),
            lease: options.lease,
            renew: options.renew,
            leadership: leadership.clone(),
            metrics,
        };
        (elector, leadership)
    }

    /// Campaigns until `stop`, then steps down.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let before = Instant::now();
            if let Err(error) = self.campaign(before).await {
                tracing::warn!(line.notice = Empty, %error, "the election could not be held");
            }
            self.metrics.set_leader(self.leadership.term().is_some());
            // Some jitter, so that replicas do not campaign in step.
            let pause = self.renew.mul_f64(rand::random_range(0.8..=1.0));
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.leadership.set(None);
        self.metrics.set_leader(false);
        if let Err(error) = self.store.resign(&self.owner).await {
            tracing::warn!(%error, "could not step down; the lease runs out by itself");
        }
    }

    async fn campaign(&self, before: Instant) -> Result<(), StoreError> {
        let won = self.store.campaign(&self.owner, self.lease).await?;
        if !won.leads {
            self.leadership.set(None);
            return Ok(());
        }
        if self.leadership.term() != Some(won.term) {
            let shards = (0..self.store.shards()).map(Shard);
            try_join_all(shards.map(|shard| self.store.begin_term(shard, won.term))).await?;
            tracing::info!(line.kept = Empty, term = won.term, "this replica leads");
        }
        // Counted from before the call: the lease in Redis cannot end earlier.
        self.leadership.set(Some((won.term, before + self.lease)));
        Ok(())
    }
}
