//! What each setting may be.

use confique::Config as _;
use confique::meta::FieldKind;
use tracing_subscriber::EnvFilter;

use super::Config;
use crate::name::Name;
use crate::redis_url::{self, RedisUrl};

/// What values a setting takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// A whole number within these bounds, both included.
    Whole(i64, i64),
    /// An IP address with a port.
    Address,
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An address that starts with one of these.
    Url(&'static [&'static str]),
    /// Where Redis is; never shown.
    RedisUrl,
    /// Text without spaces or control characters, as it stands in a header.
    Token,
    /// The same, never shown.
    SecretToken,
    /// A name of letters, digits, `_`, `.` and `-`.
    Name,
    /// A list of such names; in a variable, with commas.
    Names,
    /// The path of a file.
    File,
    /// Directives for the log.
    Filter,
    /// A list of origins, or `*` alone; with commas between them in a variable.
    Origins,
    /// The tables of single agents.
    Agents,
}

const HTTP: &[&str] = &["http://", "https://"];
const LIVEKIT: &[&str] = &["https://", "http://", "wss://", "ws://"];
const RETURN_POLICIES: &[&str] = &["reported", "always", "never"];

/// Every setting has a row; a test sees to it.
const RULES: &[(&str, Rule)] = &[
    ("server.listen", Rule::Address),
    ("server.public_url", Rule::Url(HTTP)),
    ("server.api_key", Rule::SecretToken),
    ("server.http_request_timeout_ms", Rule::Whole(100, 600_000)),
    ("server.header_read_timeout_ms", Rule::Whole(100, 600_000)),
    ("server.idle_timeout_ms", Rule::Whole(100, 3_600_000)),
    ("server.write_timeout_ms", Rule::Whole(100, 600_000)),
    ("server.body_bytes_max", Rule::Whole(1024, 16_777_216)),
    ("server.connections_max", Rule::Whole(1, 1_000_000)),
    ("server.cors_origins", Rule::Origins),
    ("server.rate_limit_per_second", Rule::Whole(0, 1_000_000)),
    ("server.wrong_keys_per_second", Rule::Whole(0, 1_000_000)),
    ("server.trusted_proxies", Rule::Whole(0, 16)),
    ("server.drain_ms", Rule::Whole(0, 600_000)),
    ("server.grace_ms", Rule::Whole(0, 3_600_000)),
    ("redis.url", Rule::RedisUrl),
    ("redis.command_timeout_ms", Rule::Whole(10, 60_000)),
    ("redis.shards", Rule::Whole(1, 1_024)),
    ("redis.wait_replicas", Rule::Whole(0, 10)),
    ("livekit.url", Rule::Url(LIVEKIT)),
    ("livekit.api_key", Rule::Token),
    ("livekit.api_secret", Rule::SecretToken),
    ("livekit.call_timeout_ms", Rule::Whole(100, 60_000)),
    ("livekit.call_timeout_adapts", Rule::Switch),
    ("livekit.call_timeout_ms_min", Rule::Whole(100, 60_000)),
    ("dispatch.provider", Rule::Word(&["livekit", "simulated", "pool"])),
    ("dispatch.default_agent", Rule::Name),
    ("dispatch.page_agents", Rule::Names),
    ("dispatch.ttl_seconds", TTL),
    ("dispatch.cleanup_interval_ms", Rule::Whole(10, 3_600_000)),
    ("dispatch.liveness_window_ms", Rule::Whole(100, 600_000)),
    ("dispatch.check_interval_ms", Rule::Whole(100, 600_000)),
    ("dispatch.heartbeat_believed_ms", Rule::Whole(100, 600_000)),
    ("dispatch.return_policy", Rule::Word(RETURN_POLICIES)),
    ("dispatch.join_deadline_ms", Rule::Whole(100, 600_000)),
    ("dispatch.join_deadline_with_job_ms", Rule::Whole(100, 3_600_000)),
    ("dispatch.creation_budget_ms", Rule::Whole(100, 600_000)),
    ("dispatch.creation_retries", Rule::Whole(0, 10)),
    ("dispatch.creation_backoff_ms", Rule::Whole(1, 60_000)),
    ("dispatch.claim_ms", Rule::Whole(100, 60_000)),
    ("dispatch.failure_hold_ms", Rule::Whole(1_000, 5_000)),
    ("dispatch.quick_tries", Rule::Whole(0, 100)),
    ("dispatch.slow_try_interval_ms", Rule::Whole(100, 3_600_000)),
    ("dispatch.provider_concurrency_max", Rule::Whole(1, 10_000)),
    ("dispatch.ttl_adapts", Rule::Switch),
    ("dispatch.ttl_seconds_min", TTL),
    ("dispatch.ttl_seconds_max", TTL),
    ("dispatch.age_seconds_max", AGE),
    ("dispatch.live_per_tenant_max", LIVE),
    ("dispatch.live_per_agent_max", LIVE),
    ("dispatch.reconcile_interval_ms", Rule::Whole(1_000, 86_400_000)),
    ("dispatch.observe_only", Rule::Switch),
    ("dispatch.agents", Rule::Agents),
    ("timeouts.websocket_connect_ms", Rule::Whole(100, 600_000)),
    ("timeouts.websocket_message_ms", Rule::Whole(100, 3_600_000)),
    ("timeouts.speech_to_text_ms", Rule::Whole(100, 600_000)),
    ("timeouts.language_model_ms", Rule::Whole(100, 600_000)),
    ("timeouts.text_to_speech_ms", Rule::Whole(100, 600_000)),
    ("timeouts.agent_creation_ms", Rule::Whole(1_000, 3_600_000)),
    ("timeouts.agent_execution_ms", Rule::Whole(1_000, 86_400_000)),
    ("timeouts.browser_automation_ms", Rule::Whole(1_000, 3_600_000)),
    ("timeouts.file_preparation_ms", Rule::Whole(100, 3_600_000)),
    ("timeouts.database_query_ms", Rule::Whole(10, 600_000)),
    ("timeouts.event_delivery_ms", Rule::Whole(10, 60_000)),
    ("breaker.failures_max", Rule::Whole(0, 1_000)),
    ("breaker.room_failures_max", Rule::Whole(0, 1_000)),
    ("breaker.failure_percent", Rule::Whole(0, 100)),
    ("breaker.slow_percent", Rule::Whole(0, 100)),
    ("breaker.slow_ms", Rule::Whole(1, 600_000)),
    ("breaker.calls_min", Rule::Whole(1, 10_000)),
    ("breaker.window_ms", Rule::Whole(1_000, 3_600_000)),
    ("breaker.open_ms", Rule::Whole(10, 3_600_000)),
    ("breaker.open_ms_max", Rule::Whole(10, 3_600_000)),
    ("breaker.probes_max", Rule::Whole(1, 100)),
    ("breaker.probe_ms", Rule::Whole(100, 600_000)),
    ("breaker.successes_min", Rule::Whole(1, 100)),
    ("pool.spare", Rule::Whole(0, 1_000)),
    ("pool.max", Rule::Whole(0, 10_000)),
    ("pool.sessions_max", Rule::Whole(1, 1_000_000)),
    ("pool.age_minutes", Rule::Whole(1, 20_160)),
    ("pool.runner_believed_ms", Rule::Whole(1_000, 600_000)),
    ("leader.lease_ms", Rule::Whole(100, 60_000)),
    ("leader.renew_ms", Rule::Whole(10, 30_000)),
    ("leader.scan_interval_ms", Rule::Whole(10, 60_000)),
    ("log.filter", Rule::Filter),
    ("log.format", Rule::Word(&["json", "text"])),
    ("log.rate_limit_per_second", Rule::Whole(10, 100_000)),
    ("log.aggregation", Rule::Switch),
    ("log.memory_bytes_max", Rule::Whole(0, 1 << 50)),
    ("errors.texts_file", Rule::File),
    ("errors.groups_per_tenant_max", Rule::Whole(10, 10_000)),
    ("errors.lifetime_seconds", Rule::Whole(60, 31_536_000)),
    ("alerts.agents_live_max", Rule::Whole(0, 10_000_000)),
    ("alerts.cleanup_failures_percent_max", PERCENT),
    ("alerts.cleanups_min", Rule::Whole(1, 1_000_000)),
    ("alerts.logs_dropped_percent_max", PERCENT),
    ("alerts.log_lines_min", Rule::Whole(1, 1_000_000)),
    ("alerts.providers_failing_max", Rule::Whole(0, 1_000_000)),
    ("alerts.operation_errors_percent_max", PERCENT),
    ("alerts.operations_min", Rule::Whole(1, 1_000_000)),
    ("alerts.window_seconds", Rule::Whole(3, 86_400)),
    ("alerts.clear_after_seconds", Rule::Whole(0, 86_400)),
    ("alerts.interval_ms", Rule::Whole(100, 60_000)),
];

const TTL: Rule = Rule::Whole(1, 604_800);
const AGE: Rule = Rule::Whole(0, 31_536_000);
const PERCENT: Rule = Rule::Whole(0, 100);
const LIVE: Rule = Rule::Whole(0, 10_000_000);

/// The settings within `[dispatch.agents.NAME]`.
pub(super) const AGENT_RULES: &[(&str, Rule)] = &[
    ("return_policy", Rule::Word(RETURN_POLICIES)),
    ("ttl_seconds", TTL),
    ("age_seconds_max", AGE),
    ("live_max", LIVE),
];

/// A setting as the structs declare it.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    /// The section.
    pub(super) section: &'static str,
    /// The name in the section.
    pub(super) key: &'static str,
    /// The variable, if it has one.
    pub(super) variable: Option<&'static str>,
}

impl Leaf {
    /// `section.key`
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}

/// Every setting of the structs, in their order.
pub(super) fn leaves() -> Vec<Leaf> {
    let mut leaves = Vec::new();
    for section in Config::META.fields {
        let FieldKind::Nested { meta } = section.kind else { continue };
        for field in meta.fields {
            let FieldKind::Leaf { env, .. } = field.kind else { continue };
            leaves.push(Leaf { section: section.name, key: field.name, variable: env });
        }
    }
    leaves
}

/// The rule of the setting, which must be one.
pub(super) fn rule_of(path: &str) -> Option<Rule> {
    RULES.iter().find(|(name, _)| *name == path).map(|(_, rule)| *rule)
}

/// The bounds of a setting that is a whole number, both included.
pub fn range_of(path: &str) -> Option<(u64, u64)> {
    match rule_of(path)? {
        Rule::Whole(min, max) => Some((min.try_into().ok()?, max.try_into().ok()?)),
        _ => None,
    }
}

/// The variable of a setting, if it has one.
pub fn variable_of(path: &str) -> Option<&'static str> {
    leaves().into_iter().find(|leaf| leaf.path() == path)?.variable
}

impl Rule {
    /// A variable's text as the value that it means. What means none stays text, and is then refused.
    pub(super) fn read(self, text: &str) -> toml::Value {
        match self {
            Self::Whole(..) => text.trim().parse().map_or_else(|_| toml::Value::from(text), toml::Value::Integer),
            Self::Origins => {
                let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
                origins.map(toml::Value::from).collect::<Vec<_>>().into()
            }
            Self::Names => text.split(',').map(|name| toml::Value::from(name.trim())).collect::<Vec<_>>().into(),
            Self::Switch => text.trim().parse().map_or_else(|_| toml::Value::from(text), toml::Value::Boolean),
            _ => toml::Value::from(text),
        }
    }

    /// Whether the value is allowed.
    pub(super) fn allows(self, value: &toml::Value) -> bool {
        if let Self::Whole(min, max) = self {
            return value.as_integer().is_some_and(|number| (min..=max).contains(&number));
        }
        if let Self::Switch = self {
            return value.is_bool();
        }
        if let Self::Origins = self {
            return value.as_array().is_some_and(|origins| are_origins(origins));
        }
        if let (Self::Names, Some(names)) = (self, value.as_array()) {
            return names.iter().all(|name| Self::Name.allows(name));
        }
        let Some(text) = value.as_str() else { return false };
        match self {
            Self::Whole(..) | Self::Switch | Self::Origins | Self::Names | Self::Agents => false,
            Self::Address => text.parse::<std::net::SocketAddr>().is_ok(),
            Self::Word(words) => words.contains(&text),
            Self::RedisUrl => RedisUrl::parse(text).is_ok(),
            Self::Url(starts) => {
                is_token(text)
                    && starts.iter().any(|start| text.strip_prefix(start).is_some_and(|rest| !rest.is_empty()))
            }
            Self::Token | Self::SecretToken => is_token(text),
            Self::Name => Name::strict(text).is_ok(),
            Self::File => !text.is_empty() && !text.contains(char::is_control),
            Self::Filter => EnvFilter::try_new(text).is_ok(),
        }
    }

    /// What is allowed, after "must be"; `key` tells the unit.
    pub(super) fn wants(self, key: &str) -> String {
        match self {
            Self::Whole(min, max) => format!("a whole number from {min} to {max}{}", unit(key)),
            Self::Address => "an IP address and a port, such as 127.0.0.1:8080".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::RedisUrl => redis_url::FORMS.to_owned(),
            Self::Url(starts) => format!("an address that starts with {}", starts.join(", ")),
            Self::Token | Self::SecretToken => "text of printable ASCII characters without spaces".to_owned(),
            Self::Name => "1 to 128 letters, digits, '_', '.' or '-'".to_owned(),
            Self::Names => format!("a list of names, each {}", Self::Name.wants(key)),
            Self::File => "the path of a file".to_owned(),
            Self::Filter => "levels such as info or info,greenroom::dispatch=debug".to_owned(),
            Self::Origins => {
                "origins such as https://app.example.com, in small letters and without a path, or * alone".to_owned()
            }
            Self::Agents => "a table of agents, such as [dispatch.agents.assistant]".to_owned(),
        }
    }

    /// Whether the value must not be shown.
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Self::RedisUrl | Self::SecretToken)
    }

    /// Why the value is not allowed, where more can be said than what is; it tells no secret.
    pub(super) fn reason(self, value: &toml::Value) -> Option<String> {
        match self {
            Self::RedisUrl => RedisUrl::parse(value.as_str()?).err(),
            _ => None,
        }
    }
}

fn are_origins(origins: &[toml::Value]) -> bool {
    let is_any = |origin: &toml::Value| origin.as_str() == Some("*");
    origins.iter().all(|origin| is_any(origin) || origin.as_str().is_some_and(is_origin))
        && (origins.len() == 1 || !origins.iter().any(is_any))
}

/// An origin as browsers write it: the comparison is exact.
fn is_origin(text: &str) -> bool {
    let host = HTTP.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or_default();
    let of_host = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-:[]".contains(&c);
    !host.is_empty() && host.bytes().all(of_host)
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn unit(key: &str) -> &'static str {
    if key.ends_with("_ms") {
        " (milliseconds)"
    } else if ["_seconds", "_seconds_min", "_seconds_max"].iter().any(|end| key.ends_with(end)) {
        " (seconds)"
    } else if key.ends_with("_bytes_max") {
        " (bytes)"
    } else {
        ""
    }
}
