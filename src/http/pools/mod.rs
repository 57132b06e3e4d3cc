//! Pools of warm workers: defined, looked at, sized.

pub(super) mod define;
pub(super) mod get;
pub(super) mod list;
pub(super) mod plan;
mod settings;
mod view;

use crate::access::Caller;
use crate::http::fields::PoolNameText;
use crate::pool::PoolName;

/// The caller's pool of that name.
pub(super) fn pool_of(caller: &Caller, PoolNameText(pool): PoolNameText) -> PoolName {
    PoolName { tenant: caller.tenant().clone(), pool }
}
