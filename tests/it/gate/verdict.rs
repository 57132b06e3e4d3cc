//! What must hold after every step, and when all is over.

use std::collections::BTreeSet;

use greenroom::name::Name;
use greenroom::provider::Look;
use greenroom::store::keys::{PlaceKeys, Shard};

use super::cast::{Told, place};
use super::pools::pool;
use super::resp::Redis;

/// What the steps have shown so far.
#[derive(Default)]
pub(super) struct Watch {
    highest_token: u64,
    committed_token: u64,
    /// The id that was committed and lived at the provider, by step.
    lived: BTreeSet<(String, u64)>,
}

/// The place's dispatch, as Redis has it.
struct Entry {
    id: String,
    provider_id: String,
    token: u64,
    committed_token: u64,
    state: String,
}

fn entry(redis: &mut Redis) -> Entry {
    let key = PlaceKeys::new(&place(), 1).dispatch();
    let fields = redis.strings(&["HMGET", &key, "id", "provider_id", "state", "token", "committed_token"]);
    let [id, provider_id, state, token, committed_token] = fields.try_into().expect("five fields");
    let number = |text: String| text.parse().unwrap_or_default();
    Entry { id, provider_id, token: number(token), committed_token: number(committed_token), state }
}

fn listed(look: &Look) -> Vec<&str> {
    look.dispatches.iter().flatten().map(|found| found.id.as_str()).collect()
}

impl Watch {
    /// After every step.
    pub(super) fn look(&mut self, step: u64, redis: &mut Redis, look: &Look) -> Result<(), String> {
        let entry = entry(redis);
        if entry.token != 0 && entry.token < self.highest_token {
            return Err(format!("the token went back, from {} to {}", self.highest_token, entry.token));
        }
        self.highest_token = self.highest_token.max(entry.token);
        let is_new = entry.committed_token != 0 && entry.committed_token != self.committed_token;
        if is_new && entry.committed_token != entry.token {
            return Err(format!("committed with {}, while {} was claimed", entry.committed_token, entry.token));
        }
        self.committed_token = entry.committed_token;
        if entry.provider_id.is_empty() || !look.room_exists {
            return Ok(());
        }
        if !listed(look).contains(&entry.provider_id.as_str()) {
            return Err(format!("{} is committed, and was deleted; there are {:?}", entry.provider_id, listed(look)));
        }
        self.lived.insert((entry.id, step));
        Ok(())
    }

    /// Whoever was answered was given a dispatch that lived while the answer was worked out.
    pub(super) fn judge(&self, told: &[Told]) -> Result<(), String> {
        let lied = told.iter().find(|told| {
            let during = (told.id.clone(), told.from_step)..=(told.id.clone(), told.to_step);
            self.lived.range(during).next().is_none()
        });
        lied.map_or(Ok(()), |told| Err(format!("an answer named one that did not live: {told:?}")))
    }
}

/// When nobody does anything any more, while the dispatch is wanted.
pub(super) fn one_is_left(redis: &mut Redis, look: &Look) -> Result<(), String> {
    let entry = entry(redis);
    if entry.provider_id.is_empty() || listed(look) != [entry.provider_id.as_str()] {
        let Entry { id, provider_id, state, .. } = entry;
        return Err(format!("{id} ({state}) has {provider_id:?}, and the provider has {:?}", listed(look)));
    }
    Ok(())
}

/// When the dispatch has ended.
pub(super) fn nothing_is_left(redis: &mut Redis, look: &Look) -> Result<(), String> {
    if !listed(look).is_empty() {
        return Err(format!("all has ended, and the provider has {:?}", listed(look)));
    }
    let (shard, tenant) = (Shard(0), Name::default_tenant());
    let of_pools = [shard.pool(&pool()), shard.index_pools(&tenant), shard.index_all_pools()];
    let kept = [shard.shard(), shard.events(), shard.index_breakers(&tenant)].into_iter().chain(of_pools);
    let kept: Vec<String> = kept.collect();
    for key in redis.strings(&["KEYS", "*"]).into_iter().filter(|key| !kept.contains(key)) {
        if redis.strings(&["TTL", &key]) == ["-1"] {
            return Err(format!("all has ended, and {key} stays for ever"));
        }
    }
    Ok(())
}
