//! What `doctor` finds at Redis: every master, and what its topology needs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::ExposeSecret as _;

use super::{Finding, bad, good, note};
use crate::app::store_options;
use crate::config::Config;
use crate::redis_url::{RedisUrl, Topology};
use crate::store::{Node, SentinelState, Store, Survey};

/// Redis 7.0 knows the `#!lua` line that the scripts rely on.
const REDIS_MAJOR_MIN: u32 = 7;
/// A clock that is further off makes tokens fail.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5);
/// With fewer, nobody is there to decide when one is lost with the master.
const SENTINELS_MIN: usize = 3;

pub(super) async fn findings(config: &Config) -> Vec<Finding> {
    let topology = match RedisUrl::parse(config.redis.url.expose_secret()) {
        Ok(url) => url.topology,
        Err(error) => return vec![bad(format!("REDIS_URL cannot be used: {error}"))],
    };
    let options = store_options(config);
    let store = match Store::open(&options, options.shards) {
        Ok(store) => store,
        Err(error) => return vec![bad(format!("REDIS_URL cannot be used: {error}"))],
    };
    let survey = match store.survey().await {
        Ok(survey) => survey,
        Err(error) => return vec![bad(format!("Redis: {error}. Is it running, and is REDIS_URL right?"))],
    };
    let mut findings = of_survey(&topology, &survey);
    if survey.nodes.iter().all(|node| node.info.is_err()) {
        return findings;
    }
    findings.push(match store.read_schema().await {
        Ok(None) => good("schema: none yet; `greenroom serve` or `greenroom migrate` makes it"),
        Ok(Some(schema)) => match schema.check() {
            Ok(()) => good(format!("schema: version {}, {} shards", schema.version, schema.shards)),
            Err(error) => bad(format!("schema: {error}")),
        },
        Err(error) => bad(format!("schema: {error}")),
    });
    findings
}

fn of_survey(topology: &Topology, survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    match survey.uncovered_slots {
        Some(0) => findings.push(good(format!("Cluster: {} masters, every slot has one", survey.nodes.len()))),
        Some(slots) => findings.push(bad(format!(
            "Cluster: {slots} slots have no master, and their rooms no service: redis-cli --cluster fix"
        ))),
        None => {}
    }
    findings.extend(of_sentinels(survey));
    for node in &survey.nodes {
        // With one server there is no doubt which is meant.
        let name = if survey.nodes.len() > 1 { format!("{}: ", node.address) } else { String::new() };
        findings
            .extend(of_node(topology, node).into_iter().map(|it| Finding { text: format!("{name}{}", it.text), ..it }));
    }
    findings
}

fn of_sentinels(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut known = 0;
    for SentinelState { address, fields } in &survey.sentinels {
        match fields {
            Ok(fields) => {
                let others = fields.get("num-other-sentinels").and_then(|others| others.parse().ok()).unwrap_or(0);
                known = known.max(others + 1);
            }
            Err(error) => findings.push(bad(format!("Sentinel {address}: {error}"))),
        }
    }
    if known >= SENTINELS_MIN {
        findings.push(good(format!("Sentinel: {known} of them watch the master")));
    } else if !survey.sentinels.is_empty() {
        findings.push(note(format!(
            "Sentinel: {known} of them; run {SENTINELS_MIN} on machines of their own, or nobody replaces a master that is lost with one of them"
        )));
    }
    findings
}

fn of_node(topology: &Topology, node: &Node) -> Vec<Finding> {
    let info = match &node.info {
        Ok(info) => info,
        Err(error) => return vec![bad(format!("no answer: {error}"))],
    };
    let mut findings = vec![version(info), policy(info), persistence(info)];
    findings.push(match node.time_ms {
        Some(theirs_ms) => clock(theirs_ms),
        None => bad("it does not tell the time"),
    });
    if field(info, "role") != "master" {
        findings.push(bad("it is a replica, which takes no writes: name the master, or use redis-sentinel://"));
    }
    match topology {
        Topology::Single if field(info, "cluster_enabled") == "1" => {
            findings.push(bad("it is a node of a Cluster: REDIS_URL must begin with redis-cluster://"));
        }
        Topology::Single => {}
        Topology::Sentinel { .. } | Topology::Cluster => findings.extend(replicas(info, node.min_replicas_to_write)),
    }
    findings
}

fn field<'a>(info: &'a str, name: &str) -> &'a str {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
}

fn version(info: &str) -> Finding {
    let version = field(info, "redis_version");
    let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
    let version = match field(info, "valkey_version") {
        "" => format!("Redis {version}"),
        valkey => format!("Valkey {valkey} (as Redis {version})"),
    };
    if major >= REDIS_MAJOR_MIN {
        good(version)
    } else {
        bad(format!("{version}: {REDIS_MAJOR_MIN}.0 or newer is needed"))
    }
}

fn policy(info: &str) -> Finding {
    match field(info, "maxmemory_policy") {
        "noeviction" | "" => good("maxmemory-policy noeviction"),
        other => bad(format!(
            "maxmemory-policy {other} may throw live dispatches away: CONFIG SET maxmemory-policy noeviction"
        )),
    }
}

fn persistence(info: &str) -> Finding {
    for (name, what) in [("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "snapshot")] {
        if field(info, name) == "err" {
            return bad(format!("persistence: the last {what} could not be written; is the disk full?"));
        }
    }
    if field(info, "aof_enabled") == "1" {
        return good("persistence: append-only file");
    }
    note(
        "persistence: no append-only file, so a restart loses what came after the last snapshot: \
         CONFIG SET appendonly yes, unless you can do without",
    )
}

fn replicas(info: &str, min_to_write: Option<u32>) -> Vec<Finding> {
    let replicas: u32 = field(info, "connected_slaves").parse().unwrap_or_default();
    if replicas == 0 {
        return vec![bad("no replica is connected: nobody takes over when this master is lost")];
    }
    let mut findings = vec![good(format!("{replicas} replicas are connected"))];
    if min_to_write == Some(0) {
        findings.push(note(
            "min-replicas-to-write 0: a master that is cut off goes on taking writes, which are lost later; \
             see docs/topologies.md",
        ));
    }
    findings
}

fn clock(theirs_ms: u64) -> Finding {
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let skew = ours.abs_diff(Duration::from_millis(theirs_ms));
    if skew <= CLOCK_SKEW_MAX {
        good(format!("clock: {} ms apart from Redis's", skew.as_millis()))
    } else {
        bad(format!("clock: {} s apart from Redis's; tokens will fail. Run a time service on both", skew.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn an_old_redis_and_an_evicting_one_are_found() {
        assert_eq!(version("redis_version:7.0.15\r\n").level, Level::Good);
        assert_eq!(version("redis_version:6.2.1\r\n").level, Level::Bad);
        assert_eq!(policy("maxmemory_policy:noeviction\r\n").level, Level::Good);
        assert_eq!(policy("maxmemory_policy:allkeys-lru\r\n").level, Level::Bad);
    }

    #[test]
    fn a_clock_that_is_off_is_found() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        assert_eq!(clock(u64::try_from(now).expect("fits")).level, Level::Good);
        assert_eq!(clock(u64::try_from(now).expect("fits") - 60_000).level, Level::Bad);
    }

    #[test]
    fn what_a_topology_lacks_is_found() {
        let node = |info: &str| Node {
            address: "a:1".to_owned(),
            info: Ok(format!("redis_version:7.0.15\r\naof_enabled:1\r\n{info}")),
            time_ms: None,
            min_replicas_to_write: Some(0),
        };
        let found = |topology: &Topology, uncovered_slots, info: &str| {
            let survey = Survey { nodes: vec![node(info)], uncovered_slots, ..Survey::default() };
            let bad = of_survey(topology, &survey).into_iter().filter(|it| it.level != Level::Good);
            bad.map(|it| it.text).collect::<Vec<_>>().join("\n")
        };
        let cluster = found(&Topology::Cluster, Some(5), "role:master\r\nconnected_slaves:0\r\n");
        assert!(cluster.contains("5 slots have no master") && cluster.contains("no replica"), "{cluster}");
        assert!(found(&Topology::Cluster, Some(0), "role:master\r\nconnected_slaves:1").contains("min-replicas"));
        assert!(found(&Topology::Single, None, "role:slave").contains("name the master"));
        assert!(found(&Topology::Single, None, "role:master\r\ncluster_enabled:1").contains("redis-cluster://"));
        assert!(found(&Topology::Single, None, "role:master\r\nrdb_last_bgsave_status:err").contains("disk"));
    }
}
