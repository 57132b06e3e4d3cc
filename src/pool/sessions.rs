//! Sessions as somebody sees them who looks at a pool: each with its worker.

use super::{Lease, LeaseState, PoolError, PoolName, Pools, SessionRef, Worker};
use crate::cursor;
use crate::store::{Refusal, StoreError};

/// A session: its lease, and its worker once it has one.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its lease.
    pub lease: Lease,
    /// Its worker.
    pub worker: Option<Worker>,
}

impl Session {
    /// When it was used last: now, as far as is known, while somebody holds it.
    pub fn last_used_ms(&self) -> u64 {
        self.lease.used_ms.unwrap_or(self.lease.created_at_ms).min(self.lease.now_ms)
    }

    /// For how long nobody has used it.
    pub fn idle_ms(&self) -> u64 {
        match self.lease.state {
            LeaseState::Idle => self.lease.now_ms.saturating_sub(self.last_used_ms()),
            LeaseState::Waiting | LeaseState::Offered | LeaseState::Held => 0,
        }
    }
}

/// Some of a pool's sessions.
#[derive(Debug)]
pub struct SessionsPage {
    /// The sessions that have a worker, the oldest first.
    pub sessions: Vec<Session>,
    /// Where the next page begins; none at the end.
    pub next_cursor: Option<String>,
}

impl Pools {
    /// A page of a pool's sessions that have a worker, those without a name too.
    pub async fn sessions(&self, pool: &PoolName, cursor: Option<&str>, limit: u32) -> Result<SessionsPage, PoolError> {
        let first = cursor::rank(cursor).ok_or(PoolError::BadCursor)?;
        let limit = limit.clamp(1, cursor::LIMIT_MAX);
        let sessions = self.store.page_of_sessions(pool, first, limit).await?;
        let is_full = sessions.len() >= limit as usize;
        Ok(SessionsPage { sessions, next_cursor: is_full.then(|| cursor::of_rank(first + u64::from(limit))) })
    }

    /// One session; also one that waits in line.
    pub async fn session(&self, pool: &PoolName, session: &SessionRef) -> Result<Session, PoolError> {
        self.store.session(pool, session).await?.ok_or(PoolError::NoSuchSession)
    }

    /// Removes a pool that nobody uses. A runner that calls later makes it again, as it is shipped.
    pub async fn delete(&self, pool: &PoolName) -> Result<(), PoolError> {
        match self.store.delete_pool(pool).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(PoolError::NotFound),
            Err(StoreError::Refused(Refusal::InUse)) => Err(PoolError::InUse),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a session, whoever holds it. One that is over counts as ended.
    pub async fn end_session(&self, pool: &PoolName, session: &SessionRef) -> Result<(), PoolError> {
        self.store.end_session(pool, session).await?;
        Ok(())
    }
}
