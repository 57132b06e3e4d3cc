//! The leader's election: a lock whose token is the term.

use std::time::Duration;

use super::keys::Shard;
use super::{Refusal, Store, StoreError, script};

/// The shard that the leader's lock is in.
const LEADER: Shard = Shard(0);

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
        let grant = self.take_lock(&LEADER.leader(), LEADER, owner, lease).await?;
        Ok(Campaign { leads: grant.is_held, term: grant.token, owner: grant.owner })
    }

    /// Steps down.
    pub async fn resign(&self, owner: &str) -> Result<(), StoreError> {
        match self.give_lock(&LEADER.leader(), owner, None).await {
            Ok(_) | Err(StoreError::Refused(Refusal::NotOwner)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes the term to a shard: older leaders are refused there from now on.
    pub async fn begin_term(&self, shard: Shard, term: u64) -> Result<(), StoreError> {
        let term = term.to_string();
        self.call::<u8>(&script::LEADER_BEGIN, &[&shard.shard()], &[term.as_bytes()]).await.map(|_| ())
    }
}
