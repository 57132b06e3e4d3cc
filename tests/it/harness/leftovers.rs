//! Who is not served, and what is left at the provider and in Redis once nobody needs it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::history::{Act, History};
use super::load::places;
use super::rig::{AGENTS, Rig};

/// Places with people that do not have the one agent which Redis knows; and that no session has had a worker since.
pub(crate) fn unserved(rig: &Rig, history: &History, since: Duration) -> Vec<String> {
    let mut latest: HashMap<String, HashMap<String, String>> = HashMap::new();
    for sample in history.samples.all().iter() {
        latest.insert(sample.key.clone(), sample.fields.clone());
    }
    let mut unserved = Vec::new();
    let uses = history.uses.all();
    if !uses.iter().any(|used| used.act == Act::Lease && used.invoked > since && used.answer().is_some()) {
        unserved.push("no session has had a worker".to_owned());
    }
    drop(uses);
    for (room, agent) in places() {
        let (people, working, dispatches) = rig.livekit.view(|view| {
            (view.people_in(room).len(), view.working_in(room, agent), view.dispatches(room, agent).len())
        });
        if people == 0 {
            continue;
        }
        let end = format!(":{room}:{agent}");
        let known = latest.iter().find(|(key, _)| key.ends_with(&end)).map(|(_, fields)| fields);
        let meant = known.and_then(|fields| fields.get("provider_id"));
        let active = known.is_some_and(|fields| fields.get("state").is_some_and(|state| state == "active"));
        let served = matches!(&working[..], [agent] if meant == Some(&agent.dispatch_id));
        if !served || !active || dispatches != 1 {
            unserved.push(format!("{room}:{agent} with {people} people: at work {working:?}, Redis has {known:?}"));
        }
    }
    unserved
}

/// What is left at the provider, and in Redis but for what has a time to live and the house's own.
pub(crate) async fn left(rig: &Rig) -> Vec<String> {
    let mut left = Vec::new();
    for room in rig.livekit.view(|view| view.rooms()) {
        for agent in AGENTS {
            let dispatches = rig.livekit.dispatches(&room, agent);
            left.extend(dispatches.iter().map(|dispatch| format!("{room}: dispatch {}", dispatch.id)));
        }
        left.extend(rig.livekit.agents_in(&room).iter().map(|agent| format!("{room}: agent {agent:?}")));
    }
    let redis = rig.redis.lock().await;
    let keys: Vec<String> = redis.run(&["KEYS", "gr:*"]).await;
    // The error of a creation that failed is kept for a minute.
    let mut failed = HashSet::new();
    for key in keys.iter().filter(|key| key.contains(":dispatch:")) {
        let fields: HashMap<String, String> = redis.run(&["HGETALL", key]).await;
        if fields.get("state").is_some_and(|state| state == "failed") && fields.contains_key("forget_at") {
            let room = key.rsplit(':').nth(1).unwrap_or_default().to_owned();
            failed.insert(room);
            failed.extend(fields.get("id").cloned());
        }
    }
    let is_failed = |text: &str| text.split(':').any(|part| failed.contains(part));
    for key in keys {
        let name = key.splitn(3, ':').nth(2).unwrap_or_default();
        if ["gr:schema", "gr:leader"].contains(&key.as_str())
            || ["shard", "events"].contains(&name)
            || name.ends_with(":breakers")
        {
            continue;
        }
        // How the rules stand is the house's own; what failed is remembered for a while.
        if name.starts_with("alert:") || name.ends_with(":errors") {
            continue;
        }
        if name.starts_with("due:") || name.starts_with("index:") {
            let members: Vec<String> = redis.run(&["ZRANGE", &key, "0", "-1"]).await;
            left.extend(members.iter().filter(|member| !is_failed(member)).map(|member| format!("{key}: {member}")));
        } else if !is_failed(&key) && redis.run::<i64>(&["TTL", &key]).await == -1 {
            left.push(key);
        }
    }
    left
}

/// The provider's ids that Redis has a tombstone for.
pub(crate) async fn tombstones(rig: &Rig) -> HashSet<String> {
    let keys: Vec<String> = rig.redis.lock().await.run(&["KEYS", "gr:*:tombstone:*"]).await;
    keys.iter().filter_map(|key| key.rsplit(':').next()).map(str::to_owned).collect()
}
