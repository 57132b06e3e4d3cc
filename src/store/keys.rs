//! Every key name that greenroom uses, and which shard it belongs to. Nothing else spells a key.
//!
//! A shard is a hash tag (`{17}`), so that every script runs in one slot of a Cluster.

use std::fmt;

use crate::access::CallerId;
use crate::alert::Rule;
use crate::dispatch::Place;
use crate::error_report::GroupId;
use crate::id::{DispatchId, KeyId, LeaseId, WorkerId};
use crate::name::Name;
use crate::pool::{PoolName, SessionRef};

/// The one hash that describes the store: version, shards, store id.
pub const SCHEMA: &str = "gr:schema";

/// What `redis-cli --scan --pattern` finds the dispatches of a room with, without knowing its shard.
pub fn dispatch_pattern(room: &Name) -> String {
    format!("gr:*:dispatch:*:{}:*", room.encoded())
}

/// The shard of a room: all its dispatches are there.
///
/// FNV-1a, 64 bit: stable over releases and machines, which the store depends on.
pub fn shard_of_room(tenant: &Name, room: &Name, shards: u16) -> u16 {
    shard_of(tenant.as_str().bytes().chain([0]).chain(room.as_str().bytes()), shards)
}

/// The shard of what concerns a tenant as a whole.
pub fn shard_of_tenant(tenant: &Name, shards: u16) -> Shard {
    Shard(shard_of(tenant.as_str().bytes(), shards))
}

/// The shard of a lock.
pub fn shard_of_lock(tenant: &Name, name: &Name, shards: u16) -> Shard {
    Shard(shard_of(tenant.as_str().bytes().chain([1]).chain(name.as_str().bytes()), shards))
}

/// The shard of a breaker.
pub fn shard_of_breaker(tenant: &Name, name: &Name, shards: u16) -> Shard {
    Shard(shard_of(tenant.as_str().bytes().chain([2]).chain(name.as_str().bytes()), shards))
}

/// The shard of a pool, with its workers, leases and sessions.
pub fn shard_of_pool(pool: &PoolName, shards: u16) -> Shard {
    Shard(shard_of(pool.tenant.as_str().bytes().chain([3]).chain(pool.pool.as_str().bytes()), shards))
}

fn shard_of(name: impl Iterator<Item = u8>, shards: u16) -> u16 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in name {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // The low bits of FNV-1a are its weaker ones: fold.
    let folded = hash ^ (hash >> 32);
    u16::try_from(folded % u64::from(shards)).unwrap_or_default()
}

/// The keys of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard(pub u16);

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gr:{{{}}}:", self.0)
    }
}

impl Shard {
    /// What every key of the shard begins with: `gr:{17}:`.
    pub fn prefix(self) -> String {
        self.to_string()
    }

    /// Hash: highest leader term seen, last scan of the heartbeats, schema version.
    pub fn shard(self) -> String {
        format!("{self}shard")
    }

    /// Sorted set: work at a provider, by when it is due.
    pub fn due_provider(self) -> String {
        format!("{self}due:provider")
    }

    /// Sorted set: heartbeats, by when they are missed.
    pub fn due_beat(self) -> String {
        format!("{self}due:beat")
    }

    /// Sorted set: decisions within Redis, by when they are due.
    pub fn due_store(self) -> String {
        format!("{self}due:store")
    }

    /// Sorted set: a tenant's dispatches as `<room>:<agent>`, all with score 0, so by name.
    pub fn index_dispatches(self, tenant: &Name) -> String {
        format!("{self}index:{}:dispatches", tenant.encoded())
    }

    /// Stream: transitions, written by the same script as the change.
    pub fn events(self) -> String {
        format!("{self}events")
    }

    /// Hash: a lock: who has it, its token, the end of the lease.
    pub fn lock(self, tenant: &Name, name: &Name) -> String {
        format!("{self}lock:{}:{}", tenant.encoded(), name.encoded())
    }

    /// Hash: a breaker: its state, its rules, what was counted, its probes and its last transitions.
    pub fn breaker(self, tenant: &Name, name: &Name) -> String {
        format!("{}breaker:{}:{}", self.prefix(), tenant.encoded(), name.encoded())
    }

    /// What the keys of a tenant's breakers begin with.
    pub fn breakers(self, tenant: &Name) -> String {
        format!("{}breaker:{}:", self.prefix(), tenant.encoded())
    }

    /// Sorted set: the names of a tenant's breakers, all with score 0, so by name.
    pub fn index_breakers(self, tenant: &Name) -> String {
        format!("{}index:{}:breakers", self.prefix(), tenant.encoded())
    }

    /// Hash: a pool: its settings, and what was measured. Its sets are called the same, with their name after it.
    pub fn pool(self, pool: &PoolName) -> String {
        format!("{self}pool:{}", pool_key(pool))
    }

    /// Sorted set: the names of a tenant's pools, all with score 0, so by name.
    pub fn index_pools(self, tenant: &Name) -> String {
        format!("{self}index:{}:pools", tenant.encoded())
    }

    /// Sorted set: the pools of all tenants as `<tenant>:<pool>`, all with score 0.
    pub fn index_all_pools(self) -> String {
        format!("{self}index:pools")
    }

    /// Hash: a runner of a pool. The set of its workers is called the same, with `:workers` after it.
    pub fn runner(self, pool: &PoolName, runner: &Name) -> String {
        format!("{self}runner:{}:{}", pool_key(pool), runner.encoded())
    }

    /// What the key of a worker begins with, which its id ends.
    pub fn workers(self) -> String {
        format!("{self}worker:")
    }

    /// Hash: a worker.
    pub fn worker(self, id: WorkerId) -> String {
        format!("{self}worker:{id}")
    }

    /// Hash: a session's lease of a worker.
    pub fn lease(self, id: LeaseId) -> String {
        format!("{self}lease:{id}")
    }

    /// String: what the worker of a lease is told; apart, so that the lease shows no secret.
    pub fn assignment(self, id: LeaseId) -> String {
        format!("{self}assignment:{id}")
    }

    /// Hash: a session with a name or a key: its lease, or the worker that it was with last.
    pub fn session(self, pool: &PoolName, session: &SessionRef) -> String {
        format!("{self}session:{}:{}", pool_key(pool), session.encoded())
    }

    /// Sorted set: what is kept up by renewal or heartbeat, leases and runners, by when it is missed.
    pub fn due_lease(self) -> String {
        format!("{self}due:lease")
    }

    /// Sorted set: what workers, and sessions in line, wait for, by when it is overdue.
    pub fn due_pool(self) -> String {
        format!("{self}due:pool")
    }

    /// Hash: the lock of the elected leader, whose token is the term.
    pub fn leader(self) -> String {
        format!("{self}leader")
    }

    /// Channel: names of places whose waiters should ask again.
    pub fn hints(self) -> String {
        format!("{self}hints")
    }

    /// String: `<tenant>:<room>:<agent>` of a dispatch id, or `ended` for an hour after its end.
    pub fn id(self, id: DispatchId) -> String {
        format!("{self}id:{id}")
    }

    /// Hash: an API key, with the hash of its secret.
    pub fn api_key(self, id: KeyId) -> String {
        format!("{self}apikey:{id}")
    }

    /// Hash, for two seconds: how much of what a caller may do in this second is lent to the replicas.
    pub fn limit(self, caller: &CallerId) -> String {
        format!("{self}limit:{caller}")
    }

    /// Sorted set: the ids of API keys, all with score 0, so by age: of the tenant's, or of all.
    pub fn index_api_keys(self, tenant: Option<&Name>) -> String {
        match tenant {
            Some(tenant) => format!("{self}index:{}:apikeys", tenant.encoded()),
            None => format!("{self}index:apikeys"),
        }
    }

    /// Hash, for a day: what was answered to a request with an `Idempotency-Key`.
    pub fn once(self, record: &str) -> String {
        format!("{self}once:{record}")
    }

    /// Hash: the tenant's agents that are drained, by since when.
    pub fn draining(self, tenant: &Name) -> String {
        format!("{self}draining:{}", tenant.encoded())
    }

    /// Sorted set: the tenant's dispatches that count in its bound, as `<room>:<agent>`, by when they were asked for.
    pub fn quota(self, tenant: &Name) -> String {
        format!("{self}quota:{}", tenant.encoded())
    }

    /// Sorted set: those of one agent.
    pub fn quota_of_agent(self, tenant: &Name, agent: &Name) -> String {
        format!("{self}quota:{}:{}", tenant.encoded(), agent.encoded())
    }

    /// What the keys of a tenant's groups of failures begin with.
    pub fn errors(self, tenant: &Name) -> String {
        format!("{}error:{}:", self.prefix(), tenant.encoded())
    }

    /// Hash: a group of failures, with its counts over time and its samples.
    pub fn error(self, tenant: &Name, id: &GroupId) -> String {
        format!("{}{id}", self.errors(tenant))
    }

    /// Sorted set: a tenant's groups of failures, by when each was seen last.
    pub fn index_errors(self, tenant: &Name) -> String {
        format!("{}index:{}:errors", self.prefix(), tenant.encoded())
    }

    /// Hash: how a rule of the alerts stands.
    pub fn alert(self, rule: Rule) -> String {
        format!("{}alert:{}", self.prefix(), rule.as_str())
    }

    /// Hash: what all replicas have counted for the alerts, in the last few minutes.
    pub fn alert_counts(self) -> String {
        format!("{}alerts:counts", self.prefix())
    }

    /// What `KEYS` would find all dispatches of a room with.
    pub fn dispatches(self, tenant: &Name, room: &Name) -> String {
        format!("{self}dispatch:{}:{}:*", tenant.encoded(), room.encoded())
    }

    /// Hash: the people of a room, by sid.
    pub fn people(self, tenant: &Name, room: &Name) -> String {
        format!("{self}people:{}:{}", tenant.encoded(), room.encoded())
    }

    /// Sorted set: sids that left in the last ten minutes.
    pub fn left(self, tenant: &Name, room: &Name) -> String {
        format!("{self}left:{}:{}", tenant.encoded(), room.encoded())
    }
}

/// The keys of one place.
#[derive(Debug, Clone)]
pub struct PlaceKeys {
    /// Its shard.
    pub shard: Shard,
    tenant: Name,
    room: Name,
    name: String,
}

impl PlaceKeys {
    /// The keys of the place in a store of so many shards.
    pub fn new(place: &Place, shards: u16) -> Self {
        Self {
            shard: Shard(shard_of_room(&place.tenant, &place.room, shards)),
            tenant: place.tenant.clone(),
            room: place.room.clone(),
            name: place_name(place),
        }
    }

    /// `<tenant>:<room>:<agent>`, encoded.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Hash: the dispatch.
    pub fn dispatch(&self) -> String {
        format!("{}dispatch:{}", self.shard, self.name)
    }

    /// String: what is handed to a new agent; apart, so that the hash stays small and shows no secret.
    pub fn metadata(&self) -> String {
        format!("{}metadata:{}", self.shard, self.name)
    }

    /// Hash, for a week: how long people of the place stay away before they come back, where its time to live adapts.
    pub fn habit(&self) -> String {
        format!("{}habit:{}", self.shard, self.name)
    }

    /// Sorted set: sids that left in the last ten minutes.
    pub fn left(&self) -> String {
        self.shard.left(&self.tenant, &self.room)
    }

    /// Hash: the people in the room.
    pub fn people(&self) -> String {
        self.shard.people(&self.tenant, &self.room)
    }

    /// String, for an hour: this dispatch of the provider is being deleted, or was.
    pub fn tombstone(&self, provider_id: &str) -> String {
        format!("{}tombstone:{}:{}:{provider_id}", self.shard, self.tenant.encoded(), self.room.encoded())
    }

    /// The eight keys that the scripts of a place take first, in the order of `lua/dispatch/shared.lua`.
    pub fn all(&self) -> [String; 8] {
        [
            self.dispatch(),
            self.people(),
            self.shard.due_provider(),
            self.shard.due_beat(),
            self.shard.due_store(),
            self.shard.index_dispatches(&self.tenant),
            self.shard.events(),
            self.shard.shard(),
        ]
    }
}

/// `<tenant>:<pool>`, encoded.
pub fn pool_key(pool: &PoolName) -> String {
    format!("{}:{}", pool.tenant.encoded(), pool.pool.encoded())
}

/// The pool of `<tenant>:<pool>`; `None` where the text is none.
pub fn parse_pool(key: &str) -> Option<PoolName> {
    let (tenant, pool) = key.split_once(':')?;
    Some(PoolName { tenant: Name::decode(tenant)?, pool: Name::decode(pool)? })
}

/// `<tenant>:<room>:<agent>`, encoded.
pub fn place_name(place: &Place) -> String {
    format!("{}:{}:{}", place.tenant.encoded(), place.room.encoded(), place.agent.encoded())
}

/// The place of `<tenant>:<room>:<agent>`; `None` where the text is none.
pub fn parse_place(name: &str) -> Option<Place> {
    let mut parts = name.split(':').map(Name::decode);
    let place = Place { tenant: parts.next()??, room: parts.next()??, agent: parts.next()?? };
    parts.next().is_none().then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(room: &str) -> Place {
        Place {
            tenant: Name::default_tenant(),
            room: Name::room(room).expect("a good name"),
            agent: Name::strict("guide").expect("a good name"),
        }
    }

    #[test]
    fn a_hostile_room_stays_within_its_key() {
        let keys = PlaceKeys::new(&place("{3}:x *\u{1F600}"), 32);
        assert_eq!(keys.dispatch().matches('{').count(), 1);
        assert_eq!(keys.dispatch().matches(':').count(), 5);
        assert_eq!(parse_place(keys.name()), Some(place("{3}:x *\u{1F600}")));
    }

    #[test]
    fn the_shard_of_a_room_never_changes() {
        // Stores in use depend on these numbers.
        assert_eq!(PlaceKeys::new(&place("lobby"), 32).dispatch(), "gr:{15}:dispatch:default:lobby:guide");
        let mut seen = [0_u32; 32];
        for n in 0..3200 {
            seen[usize::from(PlaceKeys::new(&place(&format!("room-{n}")), 32).shard.0)] += 1;
        }
        assert!(seen.iter().all(|&n| (50..200).contains(&n)), "{seen:?}");
    }
}
