//! Locks over all replicas: a lease with an owner and a fencing token, which only grows.
//!
//! A lock says who may; that a holder which was paused does no harm afterwards, only its token can see to:
//! whatever it writes to has to refuse tokens older than the newest that it knows. The elected leader holds one.

use std::time::Duration;

use tokio::time::Instant;

use crate::name::Name;
use crate::store::{Grant, Hints, Refusal, Store, StoreError};

/// The longest anyone waits for a hint before asking again: a lost hint costs no more.
const POLL_MAX: Duration = Duration::from_secs(1);

/// Locks of a tenant. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Locks {
    store: Store,
    hints: Hints,
}

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Whose.
    pub tenant: Name,
    /// Its name.
    pub name: Name,
    /// Who has it.
    pub owner: String,
    /// The fencing token: higher than that of any holder before.
    pub token: u64,
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
    #[error("the lock is not held")]
    Lost,
    /// Redis gave no answer: whether the lock is held is unknown.
    #[error(transparent)]
    Store(StoreError),
}

impl Locks {
    /// Locks in that store; `hints` wake those who wait.
    pub fn new(store: Store, hints: Hints) -> Self {
        Self { store, hints }
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
            let grant = self.store.lock(tenant, name, owner, lease).await.map_err(LockError::Store)?;
            let Grant { is_held, token, owner: holder, left } = grant;
            if is_held {
                return Ok(Held { tenant: tenant.clone(), name: name.clone(), owner: holder, token });
            }
            let pause = left.min(deadline.saturating_duration_since(Instant::now()));
            if pause.is_zero() {
                return Err(LockError::Busy { owner: holder, left });
            }
            let _ = tokio::time::timeout(pause, hint).await;
        }
    }

    /// Keeps it for longer.
    pub async fn renew(&self, held: &Held, lease: Duration) -> Result<(), LockError> {
        let renewed = self.store.renew_lock(&held.tenant, &held.name, (&held.owner, held.token), lease).await;
        renewed.map_err(LockError::from)
    }

    /// Gives it back. Who waits is woken.
    pub async fn release(&self, held: &Held) -> Result<(), LockError> {
        let released = self.store.unlock(&held.tenant, &held.name, &held.owner, held.token).await;
        released.map(|_| ()).map_err(LockError::from)
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
