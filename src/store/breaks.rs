//! Breaks of the store: it came back as another, or as an older copy of itself.

use super::keys::Shard;
use super::{Store, StoreError, script};

/// Which server and which store this is: another one after a restart or a fail-over, or when it was emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The store's id.
    pub store_id: String,
    /// The run of the server, or of all masters of a Cluster; none where one of them does not tell.
    pub run_id: Option<String>,
}

impl Store {
    /// Who answers. An empty Redis is made a store.
    pub async fn identity(&self) -> Result<Identity, StoreError> {
        let store_id = self.create_schema().await?.store_id;
        Ok(Identity { store_id, run_id: self.inner.router.runs().await? })
    }

    /// The highest token that was seen in an answer.
    pub fn token_seen(&self) -> u64 {
        self.inner.token_seen.load(std::sync::atomic::Ordering::Relaxed)
    }

    pub(super) fn see_token(&self, token: u64) {
        self.inner.token_seen.fetch_max(token, std::sync::atomic::Ordering::Relaxed);
    }

    /// Raises the floor of the shard's tokens, so that none up to that one is given again.
    pub async fn raise_token_floor(&self, shard: Shard, floor: u64) -> Result<u64, StoreError> {
        let floor = floor.to_string();
        self.call(&script::SHARD_FLOOR, &[&shard.shard()], &[floor.as_bytes()]).await
    }
}
