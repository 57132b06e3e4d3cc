//! `greenroom key room:lobby`: where a thing is in Redis, for `redis-cli`.

use anyhow::Context as _;

use super::{CliError, KeyArgs, say};
use crate::app::store_options;
use crate::config::Config;
use crate::dispatch::Place;
use crate::id::{DispatchId, KeyId};
use crate::name::Name;
use crate::store::Store;
use crate::store::keys::{PlaceKeys, Shard, shard_of_room};

pub(super) async fn run(config: Config, args: KeyArgs) -> Result<(), CliError> {
    let options = store_options(&config);
    // The store's own number of shards, where it can be asked; else that of the settings.
    let shards = match Store::connect(&options).await {
        Ok(store) => store.shards(),
        Err(_) => options.shards,
    };
    let tenant = Name::tenant(args.tenant).context("the tenant's name")?;
    for thing in &args.things {
        for key in keys_of(thing, &tenant, shards)? {
            say(&key)?;
        }
    }
    Ok(())
}

fn keys_of(thing: &str, tenant: &Name, shards: u16) -> anyhow::Result<Vec<String>> {
    let usage = "write room:NAME, room:NAME:AGENT, dispatch:ID or apikey:ID";
    let (kind, name) = thing.split_once(':').with_context(|| format!("{thing}: {usage}"))?;
    match kind {
        "room" => {
            let (room, agent) = name.rsplit_once(':').map_or((name, None), |(room, agent)| (room, Some(agent)));
            let room = Name::room(room).with_context(|| format!("room {room}"))?;
            let shard = Shard(shard_of_room(tenant, &room, shards));
            let people = shard.people(tenant, &room);
            let Some(agent) = agent else { return Ok(vec![shard.dispatches(tenant, &room), people]) };
            let agent = Name::strict(agent).with_context(|| format!("agent {agent}"))?;
            Ok(vec![PlaceKeys::new(&Place { tenant: tenant.clone(), room, agent }, shards).dispatch(), people])
        }
        "dispatch" => {
            let id: DispatchId = name.parse().with_context(|| format!("{name}: {usage}"))?;
            Ok(vec![Shard(id.shard()).id(id)])
        }
        "apikey" => {
            let id: KeyId = name.parse().with_context(|| format!("{name}: {usage}"))?;
            Ok(vec![Shard(id.shard()).api_key(id)])
        }
        _ => anyhow::bail!("{kind} is not known: {usage}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_prints_what_redis_has() {
        let tenant = Name::default_tenant();
        let keys = keys_of("room:lobby:guide", &tenant, 32).expect("keys");
        assert!(keys[0].ends_with("dispatch:default:lobby:guide") && keys[1].ends_with("people:default:lobby"));
        assert_eq!(keys_of("room:lobby", &tenant, 32).expect("keys")[0], keys[0].replace("guide", "*"));
        assert!(keys_of("lobby", &tenant, 32).is_err());
        assert!(keys_of("pool:x", &tenant, 32).is_err());
    }
}
