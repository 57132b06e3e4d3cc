//! Lists: by shard, then by name. A page may be short, and still have a next one.

use super::{DispatchError, ListFilter, Page};
use crate::cursor::Walk;
use crate::name::Name;
use crate::store::Store;
use crate::store::keys::{Shard, shard_of_room};

/// A page of the tenant's dispatches.
pub(super) async fn list(store: &Store, tenant: &Name, filter: &ListFilter) -> Result<Page, DispatchError> {
    let mut walk = Walk::begin(filter.cursor.as_deref(), filter.limit).ok_or(DispatchError::BadCursor)?;
    let shards = match &filter.room {
        Some(room) => {
            let shard = shard_of_room(tenant, room, store.shards());
            shard..=shard
        }
        None => walk.first..=store.shards() - 1,
    };
    let mut dispatches = Vec::new();
    for shard in shards {
        let (after, left) = (walk.after(), walk.left);
        let found = store.page(Shard(shard), tenant, filter.room.as_ref(), after.as_deref(), left).await?;
        let is_full = walk.is_full_with(shard, &found);
        dispatches.extend(found.into_iter().map(|(_, dispatch)| dispatch).filter(|dispatch| {
            filter.agent.as_ref().is_none_or(|agent| *agent == dispatch.place.agent)
                && filter.state.is_none_or(|state| state == dispatch.state)
        }));
        if is_full {
            break;
        }
    }
    Ok(Page { dispatches, next_cursor: walk.next_cursor })
}
