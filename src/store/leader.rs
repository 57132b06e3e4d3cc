//! The scripts of the leader's election.

use std::time::Duration;

use super::keys::{LEADER, Shard};
use super::{Store, StoreError, script};

/// How a campaign ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// Whether the caller leads.
    pub leads: bool,
    /// The leader's term: grows with every new leader.
    pub term: u64,
    /// Who leads.
    pub owner: String,
}

impl Store {
    /// Becomes leader where there is none; renews the lease of one that is.
    pub async fn campaign(&self, owner: &str, lease: Duration) -> Result<Campaign, StoreError> {
        let now = self.inner.clock.argument();
        let lease = lease.as_millis().to_string();
        let args: [&[u8]; 3] = [now.as_bytes(), owner.as_bytes(), lease.as_bytes()];
        let (leads, term, owner, _left_ms): (u8, u64, String, u64) =
            self.call_and_wait(&script::LEADER_CAMPAIGN, &[LEADER], &args).await?;
        Ok(Campaign { leads: leads == 1, term, owner })
    }

    /// Steps down.
    pub async fn resign(&self, owner: &str) -> Result<(), StoreError> {
        self.call::<u8>(&script::LEADER_RESIGN, &[LEADER], &[owner.as_bytes()]).await.map(|_| ())
    }

    /// Writes the term to a shard: older leaders are refused there from now on.
    pub async fn begin_term(&self, shard: Shard, term: u64) -> Result<(), StoreError> {
        let term = term.to_string();
        self.call::<u8>(&script::LEADER_BEGIN, &[&shard.shard()], &[term.as_bytes()]).await.map(|_| ())
    }
}
