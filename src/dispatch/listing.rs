//! Lists: by shard, then by name. A page may be short, and still have a next one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{DispatchError, ListFilter, Page};
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
            let (shard, member) = decode(cursor).ok_or(DispatchError::BadCursor)?;
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
        let last = found.last().map(|(member, _)| encode(shard, member));
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

fn encode(shard: u16, member: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{shard} {member}"))
}

fn decode(cursor: &str) -> Option<(u16, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (shard, member) = text.split_once(' ')?;
    let name_like = |c: char| c.is_ascii_alphanumeric() || "_.@-%:".contains(c);
    let well_formed = member.chars().all(name_like);
    well_formed.then_some((shard.parse().ok()?, member.to_owned()))
}
