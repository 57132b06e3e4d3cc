//! Locks over all replicas: a lease with an owner and a fencing token, which only grows.
//!
//! A lock says who may; that a holder which was paused does no harm afterwards, only its token can see to:
//! whatever it writes to has to refuse tokens older than the newest that it knows. The elected leader holds one
//! under a key of its own, which no name leads to.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::name::Name;
use crate::store::{Grant, Hints, Refusal, Store, StoreError};

/// The longest anyone waits for a hint before asking again: a lost hint costs no more.
const POLL_MAX: Duration = Duration::from_secs(1);

/// Locks of tenants. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Locks {
    store: Store,
    hints: Hints,
    leaving: CancellationToken,
}

/// The right to a lock, as its holder shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Whose lock.
    pub tenant: Name,
    /// Its name.
    pub name: Name,
    /// Who has it.
    pub owner: String,
    /// The fencing token: higher than that of any holder before.
    pub token: u64,
}

/// A lock that is held. Times are milliseconds since 1970 by Redis's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// By whom.
    pub hold: Hold,
    /// Since when.
    pub since_ms: u64,
    /// When it ends unless it is renewed.
    pub until_ms: u64,
}

/// Why a lock is not the caller's.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("the lock is held by {owner}")]
    Busy {
        /// Who has it.
        owner: String,
        /// How long its lease still lasts.
        left: Duration,
    },
    /// The lease is over, or was never the caller's.
    #[error("the lock is not held by the caller")]
    Lost,
    /// Nobody has it.
    #[error("nobody holds the lock")]
    Free,
    /// Redis gave no answer: whether the lock is held is unknown.
    #[error(transparent)]
    Store(StoreError),
}

impl Locks {
    /// Locks in that store; `hints` wake those who wait.
    pub fn new(store: Store, hints: Hints) -> Self {
        Self { store, hints, leaving: CancellationToken::new() }
    }

    /// The same, where nobody waits any longer once the replica leaves.
    #[must_use]
    pub fn until(self, leaving: CancellationToken) -> Self {
        Self { leaving, ..self }
    }

    /// Takes the lock, waiting for it at most so long. The same owner may ask again, and keeps its token.
    pub async fn acquire(
        &self,
        tenant: &Name,
        name: &Name,
        owner: &str,
        lease: Duration,
        wait: Duration,
    ) -> Result<Held, LockError> {
        let deadline = Instant::now() + wait;
        loop {
            // From before the question on, so that no release in between is missed.
            let hint = self.hints.wait(&Store::lock_hint_name(tenant, name), POLL_MAX);
            let grant = self.store.lock(tenant, name, owner, lease).await?;
            if grant.is_held {
                return Ok(Held::new(tenant, name, grant));
            }
            let pause = grant.left.min(deadline.saturating_duration_since(Instant::now()));
            if pause.is_zero() || self.leaving.is_cancelled() {
                return Err(LockError::Busy { owner: grant.owner, left: grant.left });
            }
            tokio::select! {
                _ = tokio::time::timeout(pause, hint) => {}
                () = self.leaving.cancelled() => {}
            }
        }
    }

    /// Keeps it for longer.
    pub async fn renew(&self, hold: &Hold, lease: Duration) -> Result<Held, LockError> {
        let Hold { tenant, name, owner, token } = hold;
        Ok(Held::new(tenant, name, self.store.renew_lock(tenant, name, (owner, *token), lease).await?))
    }

    /// Gives it back. Who waits is woken. A lock that nobody has counts as given back.
    pub async fn release(&self, hold: &Hold) -> Result<(), LockError> {
        self.store.unlock(&hold.tenant, &hold.name, &hold.owner, hold.token).await?;
        Ok(())
    }

    /// Who has it.
    pub async fn get(&self, tenant: &Name, name: &Name) -> Result<Held, LockError> {
        let grant = self.store.lock_holder(tenant, name).await?.ok_or(LockError::Free)?;
        Ok(Held::new(tenant, name, grant))
    }
}

impl Held {
    fn new(tenant: &Name, name: &Name, grant: Grant) -> Self {
        let Grant { owner, token, since_ms, until_ms, .. } = grant;
        Self { hold: Hold { tenant: tenant.clone(), name: name.clone(), owner, token }, since_ms, until_ms }
    }
}

impl From<StoreError> for LockError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(Refusal::NotOwner) => Self::Lost,
            error => Self::Store(error),
        }
    }
}
