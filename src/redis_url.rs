//! `REDIS_URL`: where Redis is, and of which kind: one server, a Sentinel's, or a Cluster.
//!
//! ```text
//! redis://[user:password@]host:port/db                                     one server; rediss:// with TLS
//! redis-sentinel://[user:password@]host:port,host:port/service[/db]        the Sentinels; rediss-sentinel://
//! redis-cluster://[user:password@]host:port,host:port                      some of the nodes; rediss-cluster://
//! ```

use std::fmt;

/// The forms that an address may have, for complaints.
pub const FORMS: &str = "redis://host:port/db, redis-sentinel://host:port,host:port/service-name/db or \
     redis-cluster://host:port,host:port (rediss… for TLS), with user:password@ before the first host where needed";

const SENTINEL_PORT: u16 = 26_379;
const REDIS_PORT: u16 = 6379;

/// An address that was understood. Its `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// What stands there.
    pub topology: Topology,
    /// `host:port` of the servers, the Sentinels, or some of the nodes.
    pub nodes: Vec<String>,
    /// Whether connections are encrypted.
    pub tls: bool,
    userinfo: String,
    tail: String,
    // The address of one server as it was written: the client reads it itself, with all that may stand in it.
    single: Option<String>,
}

/// What an address leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Single,
    /// A master that Sentinels choose.
    Sentinel {
        /// What the Sentinels call the master.
        service: String,
        /// `user:password` of the Sentinels themselves, if they ask for one.
        auth: Option<SentinelAuth>,
    },
    /// A Cluster.
    Cluster,
}

/// A secret that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct SentinelAuth(String);

impl RedisUrl {
    /// Reads an address; the error says what is wrong, and shows nothing of it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("it has no ://")?;
        let plain = scheme.strip_prefix("rediss").or_else(|| scheme.strip_prefix("redis"));
        let tls = scheme.starts_with("rediss");
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it holds a space or a character that is not ASCII".to_owned());
        }
        match plain {
            Some("-sentinel") => Self::sentinel(tls, rest),
            Some("-cluster") => Self::cluster(tls, rest),
            Some("" | "+unix") => Self::single(url, tls, rest),
            _ if scheme == "unix" => Self::single(url, tls, rest),
            _ => Err("it begins with none of redis://, redis-sentinel://, redis-cluster://".to_owned()),
        }
    }

    /// The address of one server in the form that the client reads: with the user and the password.
    pub fn node(&self, address: &str) -> String {
        match &self.single {
            Some(whole) => whole.clone(),
            None => format!("{}://{}{address}{}", self.scheme(), self.userinfo, self.tail),
        }
    }

    /// The same for a Sentinel.
    pub fn sentinel_node(&self, address: &str, auth: Option<&SentinelAuth>) -> String {
        let userinfo = auth.map(|auth| format!("{}@", auth.0)).unwrap_or_default();
        format!("{}://{userinfo}{address}", self.scheme())
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "rediss" } else { "redis" }
    }

    fn single(url: &str, tls: bool, rest: &str) -> Result<Self, String> {
        if rest.is_empty() {
            return Err("it names no server".to_owned());
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (_, hosts) = split_userinfo(authority);
        if hosts.contains(',') {
            return Err("it names several servers: say redis-sentinel:// or redis-cluster://".to_owned());
        }
        Ok(Self {
            topology: Topology::Single,
            nodes: vec![hosts.to_owned()],
            tls,
            userinfo: String::new(),
            tail: String::new(),
            single: Some(url.to_owned()),
        })
    }

    fn sentinel(tls: bool, rest: &str) -> Result<Self, String> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, hosts) = split_userinfo(authority);
        let (service, db) = path.split_once('/').unwrap_or((path, "0"));
        if service.is_empty() {
            return Err("it lacks the name that the Sentinels know the master by, as in /mymaster".to_owned());
        }
        if db.parse::<u32>().is_err() {
            return Err("what follows the name of the master is no number of a database".to_owned());
        }
        let auth = match query.split_once('=') {
            None if query.is_empty() => None,
            Some(("sentinel_auth", auth)) if !auth.is_empty() => Some(SentinelAuth(auth.to_owned())),
            _ => return Err("after the ? it takes sentinel_auth=user:password and nothing else".to_owned()),
        };
        Ok(Self {
            topology: Topology::Sentinel { service: service.to_owned(), auth },
            nodes: nodes(hosts, SENTINEL_PORT)?,
            tls,
            userinfo: userinfo.to_owned(),
            tail: format!("/{db}"),
            single: None,
        })
    }

    fn cluster(tls: bool, rest: &str) -> Result<Self, String> {
        let (userinfo, hosts) = split_userinfo(rest);
        let (hosts, path) = hosts.split_once('/').unwrap_or((hosts, ""));
        if !matches!(path, "" | "0") {
            return Err("a Cluster has the database 0 only".to_owned());
        }
        Ok(Self {
            topology: Topology::Cluster,
            nodes: nodes(hosts, REDIS_PORT)?,
            tls,
            userinfo: userinfo.to_owned(),
            tail: String::new(),
            single: None,
        })
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisUrl").field("topology", &self.topology).field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

impl fmt::Debug for SentinelAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// `user:password@` and what follows. A password's own `@` is written `%40`.
fn split_userinfo(authority: &str) -> (&str, &str) {
    authority.rfind('@').map_or(("", authority), |at| authority.split_at(at + 1))
}

fn nodes(hosts: &str, port: u16) -> Result<Vec<String>, String> {
    hosts.split(',').map(|host| node(host, port)).collect()
}

/// `host:port`, with the port that is usual where none is said.
fn node(host: &str, port: u16) -> Result<String, String> {
    // An IPv6 address stands in brackets, with colons of its own.
    let name_ends = host.rfind(']').unwrap_or(0);
    let (name, port) = match host[name_ends..].find(':') {
        Some(at) => {
            let (name, port) = (&host[..name_ends + at], &host[name_ends + at + 1..]);
            (name, port.parse().map_err(|_| "a port in it is no number up to 65535".to_owned())?)
        }
        None => (host, port),
    };
    if name.is_empty() || name.contains(['/', '?', '#', '@']) {
        return Err("a host in it is missing: they are written host:port,host:port".to_owned());
    }
    Ok(format!("{name}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> RedisUrl {
        RedisUrl::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn each_form_of_an_address_is_understood() {
        let single = parse("rediss://greenroom:p%40ss@redis.example:6380/2");
        assert_eq!((&single.topology, single.tls), (&Topology::Single, true));
        assert_eq!(single.node(&single.nodes[0]), "rediss://greenroom:p%40ss@redis.example:6380/2");

        let sentinel = parse("redis-sentinel://u:p@a:1,b,[::1]:3/main/4?sentinel_auth=:s");
        assert_eq!(sentinel.nodes, ["a:1", "b:26379", "[::1]:3"]);
        assert_eq!(sentinel.node("c:7"), "redis://u:p@c:7/4");
        let Topology::Sentinel { service, auth } = &sentinel.topology else { panic!("{sentinel:?}") };
        assert_eq!(service, "main");
        assert_eq!(sentinel.sentinel_node("a:1", auth.as_ref()), "redis://:s@a:1");
        assert!(!format!("{sentinel:?}").contains(":s"), "{sentinel:?}");

        let cluster = parse("rediss-cluster://:p@a,b:7/");
        assert_eq!((&cluster.topology, cluster.tls), (&Topology::Cluster, true));
        assert_eq!(cluster.nodes, ["a:6379", "b:7"]);
        assert_eq!(cluster.node("b:7"), "rediss://:p@b:7");
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_with_its_reason() {
        for (url, reason) in [
            ("localhost:6379", "no ://"),
            ("http://localhost", "begins with none"),
            ("redis-clusters://localhost", "begins with none"),
            ("redis://", "names no server"),
            ("redis://a:1,b:2", "redis-cluster://"),
            ("redis-sentinel://a:1", "the name that the Sentinels know"),
            ("redis-sentinel://a:1/main/x", "no number of a database"),
            ("redis-sentinel://a:1/main?auth=x", "sentinel_auth"),
            ("redis-sentinel://a:x/main", "a port"),
            ("redis-cluster://a:1,,b:2", "a host in it is missing"),
            ("redis-cluster://a:1/3", "database 0 only"),
            ("redis-cluster://a:99999", "a port"),
            ("redis-cluster://a b", "a space"),
        ] {
            let error = RedisUrl::parse(url).expect_err(url);
            assert!(error.contains(reason), "{url}: {error}");
        }
    }
}
