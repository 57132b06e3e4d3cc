//! Lists: by shard, then by name. A page may be short, and still have a next one.

use super::{DispatchError, ListFilter, Page};
use crate::cursor;
use crate::name::Name;
use crate::store::Store;
use crate::store::keys::{Shard, shard_of_room};

/// The longest page.
pub(super) const LIMIT_MAX: u32 = 1000;

/// A page of the tenant's dispatches.
pub(super) async fn list(store: &Store, tenant: &Name, filter: &ListFilter) -> Result<Page, DispatchError> {
    let limit = filter.limit.clamp(1, LIMIT_MAX);
    let (first, mut after) = match &filter.cursor {
        None => (0, None),
        Some(cursor) => {
            let (shard, member) = cursor::decode(cursor).ok_or(DispatchError::BadCursor)?;
            (shard, Some(member))
        }
    };
    let shards = match &filter.room {
        Some(room) => {
            let shard = shard_of_room(tenant, room, store.shards());
            shard..=shard
        }
        None => first..=store.shards() - 1,
    };
    let mut page = Page { dispatches: Vec::new(), next_cursor: None };
    let mut left = limit;
    for shard in shards {
        let found = store.page(Shard(shard), tenant, filter.room.as_ref(), after.take().as_deref(), left).await?;
        left -= u32::try_from(found.len()).unwrap_or(left).min(left);
        let last = found.last().map(|(member, _)| cursor::encode(shard, member));
        let wanted = found.into_iter().map(|(_, dispatch)| dispatch).filter(|dispatch| {
            filter.agent.as_ref().is_none_or(|agent| *agent == dispatch.place.agent)
                && filter.state.is_none_or(|state| state == dispatch.state)
        });
        page.dispatches.extend(wanted);
        if left == 0 {
            page.next_cursor = last;
            break;
        }
    }
    Ok(page)
}
