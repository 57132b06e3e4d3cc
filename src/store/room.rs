//! What concerns a room or a tenant as a whole: webhooks, lists, events.

use std::time::Duration;

use super::dispatch::{Fields, ms};
use super::keys::{Shard, shard_of_room};
use super::record::Record;
use super::{Store, StoreError, script};
use crate::dispatch::{Dispatch, NoticeKind, RoomNotice, Step};
use crate::name::Name;

impl Store {
    /// Dispatches of a tenant in a shard, by name: after `after` (a member of the index), of the
    /// room where one is given.
    pub async fn page(
        &self,
        shard: Shard,
        tenant: &Name,
        room: Option<&Name>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(String, Dispatch)>, StoreError> {
        let room = room.map(Name::encoded);
        let lower = match (after, &room) {
            (Some(after), _) => format!("({after}"),
            (None, Some(room)) => format!("[{room}:"),
            (None, None) => "-".to_owned(),
        };
        // `;` is the character after `:`.
        let upper = room.map_or_else(|| "+".to_owned(), |room| format!("({room};"));
        let args = [shard.prefix(), tenant.encoded().into_owned(), lower, upper, limit.to_string()];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let raw: Vec<(String, u64, Fields)> =
            self.call(&script::DISPATCH_PAGE, &[&shard.index_dispatches(tenant)], &args).await?;
        raw.into_iter()
            .filter(|(_, _, fields)| !fields.is_empty())
            .map(|(member, people, fields)| {
                let name = format!("{}:{member}", tenant.encoded());
                Ok((member, Record::parse(&name, 0, people, fields)?.dispatch))
            })
            .collect()
    }

    /// Takes in a webhook; returns how many dispatches it concerned.
    pub async fn notice(
        &self,
        tenant: &Name,
        room: &Name,
        notice: &RoomNotice,
        believed: Duration,
    ) -> Result<u64, StoreError> {
        let (kind, sid, joined_at) = match &notice.kind {
            NoticeKind::PersonJoined(person) => ("joined", person.sid.as_str(), person.joined_at_seconds),
            NoticeKind::PersonLeft(person) => ("left", person.sid.as_str(), person.joined_at_seconds),
            NoticeKind::AgentChanged | NoticeKind::RoomFinished => ("look", "", 0),
        };
        let shard = Shard(shard_of_room(tenant, room, self.shards()));
        let keys = [shard.index_dispatches(tenant), shard.people(tenant, room), shard.left(tenant, room)];
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let args = [
            self.inner.clock.argument(),
            shard.prefix(),
            tenant.encoded().into_owned(),
            room.encoded().into_owned(),
            kind.to_owned(),
            sid.to_owned(),
            joined_at.max(0).to_string(),
            notice.created_at_seconds.to_string(),
            ms(believed),
        ];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        self.call(&script::ROOM_NOTICE, &keys, &args).await
    }

    /// The last steps in a room's life, oldest first, out of the newest `scanned` events of its shard.
    pub async fn steps(&self, tenant: &Name, room: &Name, scanned: usize) -> Result<Vec<Step>, StoreError> {
        let shard = Shard(shard_of_room(tenant, room, self.shards()));
        let mut cmd = redis::Cmd::new();
        cmd.arg("XREVRANGE").arg(shard.events()).arg("+").arg("-").arg("COUNT").arg(scanned);
        let raw: Vec<(String, Fields)> = self.command(&cmd).await?;
        let (tenant, room) = (tenant.encoded(), room.encoded());
        let mut steps: Vec<Step> = raw
            .into_iter()
            .filter(|(_, fields)| {
                let is = |field: &str, name: &str| fields.get(field).is_some_and(|value| value == name);
                is("tenant", &tenant) && is("room", &room)
            })
            .map(|(event_id, mut fields)| {
                let mut take = |field: &str| fields.remove(field).unwrap_or_default();
                Step {
                    event_id,
                    at_ms: take("at").parse().unwrap_or_default(),
                    dispatch_id: take("id"),
                    agent: Name::decode(&take("agent")).map(|name| name.to_string()).unwrap_or_default(),
                    state: take("state"),
                    reason: take("reason"),
                }
            })
            .collect();
        steps.reverse();
        Ok(steps)
    }
}
