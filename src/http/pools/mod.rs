//! Pools of warm workers: defined, looked at, sized.

pub(super) mod all_stats;
pub(super) mod define;
pub(super) mod delete;
pub(super) mod get;
pub(super) mod list;
pub(super) mod plan;
mod schedule;
mod settings;
pub(super) mod stats;
mod stats_view;
pub(super) mod trigger;
mod view;

use crate::access::Caller;
use crate::dispatch::DispatchError;
use crate::http::fields::PoolNameText;
use crate::http::problem::{Code, Problem};
use crate::pool::{PoolError, PoolName};

/// The caller's pool of that name.
pub(super) fn pool_of(caller: &Caller, PoolNameText(pool): PoolNameText) -> PoolName {
    PoolName { tenant: caller.tenant().clone(), pool }
}

impl From<PoolError> for Problem {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::NotFound => Self::new(Code::PoolNotFound, "there is no pool of that name"),
            PoolError::NoSuchWorker => Self::new(Code::WorkerNotFound, "there is no worker of that id"),
            PoolError::NoSuchLease => Self::new(Code::LeaseNotFound, "there is no lease of that id"),
            PoolError::InUse => Self::new(Code::PoolInUse, "the pool has workers, or sessions that have or want one"),
            PoolError::NoSuchSession => Self::new(Code::SessionNotFound, "the pool has no session of that name or key"),
            PoolError::TooMany => Self::new(Code::TooManyPools, "there are as many pools as there may be"),
            PoolError::NoReadyWorker => Self::new(Code::NoReadyWorker, "no worker was ready within the wait"),
            PoolError::LineFull => Self::new(Code::LineFull, "as many sessions wait for the pool as may"),
            PoolError::KeysInUse => Self::new(Code::KeysInUse, "as many keyed sessions of the pool are in use as may"),
            PoolError::WorkerBusy => Self::new(Code::WorkerBusy, "the worker of this session serves another one"),
            PoolError::Draining => Self::new(Code::PoolDraining, "the pool is drained"),
            PoolError::LeaseLost => Self::new(Code::LeaseLost, "the lease is over, or is not held by this token"),
            PoolError::Unsure => Self::new(
                Code::StoreUnavailable,
                "Redis lost what it knew: whether the lease is over is known in some seconds",
            ),
            PoolError::IncompleteReport => Self::new(
                Code::IncompleteReport,
                "the report that `since` names is not the last one, or one before it, that was heard",
            ),
            PoolError::StaleReport => Self::new(Code::StaleReport, "a newer report of this runner was heard"),
            PoolError::BadCursor => DispatchError::BadCursor.into(),
            PoolError::KeyReused => DispatchError::KeyReused.into(),
            PoolError::UnderWay => DispatchError::UnderWay.into(),
            PoolError::Store(error) => DispatchError::from(error).into(),
        }
    }
}
