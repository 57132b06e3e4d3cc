//! The script that lends a replica a part of what a caller may do in a second.

use std::num::NonZeroU32;
use std::time::Duration;

use super::keys::{Shard, shard_of_tenant};
use super::{Store, StoreError, script};
use crate::access::CallerId;
use crate::name::Name;

/// What was lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loan {
    /// The second that it is good for, since 1970 by Redis's clock.
    pub second: u64,
    /// How many; none once the limit is reached.
    pub lent: u32,
    /// How many are not lent yet.
    pub rest: u32,
    /// How long the second lasted when it was lent.
    pub ends_in: Duration,
}

impl Store {
    /// Borrows so many of what the caller may do in this second.
    pub async fn borrow_limit(
        &self,
        caller: &CallerId,
        per_second: NonZeroU32,
        wanted: u32,
    ) -> Result<Loan, StoreError> {
        let shard = match caller {
            CallerId::Key(id) => Shard(id.shard()),
            _ => shard_of_tenant(&Name::default_tenant(), self.shards()),
        };
        let args = [self.inner.clock.argument(), per_second.to_string(), wanted.to_string()];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let (second, lent, rest, ends_in_ms) = self.call(&script::LIMIT_BORROW, &[&shard.limit(caller)], &args).await?;
        Ok(Loan { second, lent, rest, ends_in: Duration::from_millis(ends_in_ms) })
    }
}
