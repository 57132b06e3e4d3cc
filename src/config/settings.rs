//! The sections of the settings as the code uses them.
//!
//! The defaults are not here: `config.default.toml` is the only place that has them. A field's
//! name is its name in the file, and `env` the name of its variable.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use confique::Config as Section;
use secrecy::SecretString;
use serde::Deserialize;

/// `[server]`: how a replica is reached, and how it stops.
#[derive(Debug, Clone, Section)]
pub struct Server {
    /// Where it listens.
    #[config(env = "GREENROOM_LISTEN")]
    pub listen: SocketAddr,
    /// As it was set; see [`Server::public_url`].
    #[config(env = "GREENROOM_SERVER_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// What callers show; none lets everybody in.
    #[config(env = "GREENROOM_API_KEY")]
    pub api_key: Option<SecretString>,
    /// How long a request may take in all.
    #[config(env = "GREENROOM_SERVER_HTTP_REQUEST_TIMEOUT_MS")]
    pub http_request_timeout_ms: u64,
    /// How long the headers of a request may take.
    #[config(env = "GREENROOM_SERVER_HEADER_READ_TIMEOUT_MS")]
    pub header_read_timeout_ms: u64,
    /// How long a connection stays open between requests.
    #[config(env = "GREENROOM_SERVER_IDLE_TIMEOUT_MS")]
    pub idle_timeout_ms: u64,
    /// How long a client may take to read an answer.
    #[config(env = "GREENROOM_SERVER_WRITE_TIMEOUT_MS")]
    pub write_timeout_ms: u64,
    /// The largest body of a request.
    #[config(env = "GREENROOM_SERVER_BODY_BYTES_MAX")]
    pub body_bytes_max: usize,
    /// The most connections at once.
    #[config(env = "GREENROOM_SERVER_CONNECTIONS_MAX")]
    pub connections_max: usize,
    /// The other origins whose pages may call; `*` is all.
    #[config(env = "GREENROOM_SERVER_CORS_ORIGINS")]
    pub cors_origins: Vec<String>,
    /// How many calls the holder of a key may make a second; 0 is no limit.
    #[config(env = "GREENROOM_SERVER_RATE_LIMIT_PER_SECOND")]
    pub rate_limit_per_second: u32,
    /// How many calls without a good key an address may make a second; 0 is no limit.
    #[config(env = "GREENROOM_SERVER_WRONG_KEYS_PER_SECOND")]
    pub wrong_keys_per_second: u32,
    /// How many proxies stand in front.
    #[config(env = "GREENROOM_SERVER_TRUSTED_PROXIES")]
    pub trusted_proxies: usize,
    /// How long the replica is unready before it stops accepting.
    #[config(env = "GREENROOM_SERVER_DRAIN_MS")]
    pub drain_ms: u64,
    /// How long what is under way may take after the signal to stop.
    #[config(env = "GREENROOM_SERVER_GRACE_MS")]
    pub grace_ms: u64,
}

/// `[redis]`: where the state is.
#[derive(Debug, Clone, Section)]
pub struct Redis {
    /// May hold a password.
    #[config(env = "REDIS_URL")]
    pub url: SecretString,
    /// How long a command or script may take.
    #[config(env = "GREENROOM_REDIS_COMMAND_TIMEOUT_MS")]
    pub command_timeout_ms: u64,
    /// The number of logical shards.
    #[config(env = "GREENROOM_REDIS_SHARDS")]
    pub shards: u16,
    /// How many replicas of Redis must have a leader's grant before it counts.
    #[config(env = "GREENROOM_REDIS_WAIT_REPLICAS")]
    pub wait_replicas: u32,
}

/// `[livekit]`: the LiveKit server. The first three are all set, or none is.
#[derive(Debug, Clone, Section)]
pub struct LiveKit {
    /// The server's address.
    #[config(env = "LIVEKIT_URL")]
    pub url: Option<String>,
    /// The API key.
    #[config(env = "LIVEKIT_API_KEY")]
    pub api_key: Option<String>,
    /// The secret that belongs to the key.
    #[config(env = "LIVEKIT_API_SECRET")]
    pub api_secret: Option<SecretString>,
    /// How long one call may take.
    #[config(env = "GREENROOM_LIVEKIT_CALL_TIMEOUT_MS")]
    pub call_timeout_ms: u64,
    /// Whether that follows what calls take.
    #[config(env = "GREENROOM_LIVEKIT_CALL_TIMEOUT_ADAPTS")]
    pub call_timeout_adapts: bool,
    /// The shortest where it adapts.
    #[config(env = "GREENROOM_LIVEKIT_CALL_TIMEOUT_MS_MIN")]
    pub call_timeout_ms_min: u64,
}

/// `[dispatch]`: when an agent is reused, made again and ended.
#[derive(Debug, Clone, Section)]
pub struct Dispatch {
    /// Who serves dispatches.
    #[config(env = "GREENROOM_DISPATCH_PROVIDER")]
    pub provider: ProviderKind,
    /// The agent of callers that name none.
    #[config(env = "GREENROOM_DEFAULT_AGENT")]
    pub default_agent: Option<String>,
    /// The agents that pages may ask for besides the default one.
    #[config(env = "GREENROOM_DISPATCH_PAGE_AGENTS")]
    pub page_agents: Vec<String>,
    /// How long a dispatch outlives its creation or the last person.
    #[config(env = "AGENT_TTL_SECONDS")]
    pub ttl_seconds: u32,
    /// The longest that a due dispatch may wait.
    #[config(env = "CLEANUP_INTERVAL_MS")]
    pub cleanup_interval_ms: u64,
    /// How long an agent that was seen alive is believed to live.
    #[config(env = "GREENROOM_DISPATCH_LIVENESS_WINDOW_MS")]
    pub liveness_window_ms: u64,
    /// How often a dispatch with people is verified.
    #[config(env = "GREENROOM_DISPATCH_CHECK_INTERVAL_MS")]
    pub check_interval_ms: u64,
    /// How long a report is believed.
    #[config(env = "GREENROOM_DISPATCH_HEARTBEAT_BELIEVED_MS")]
    pub heartbeat_believed_ms: u64,
    /// What a person gets who comes back to an empty room.
    #[config(env = "GREENROOM_DISPATCH_RETURN_POLICY")]
    pub return_policy: ReturnPolicy,
    /// How long a dispatch may show neither job nor agent.
    #[config(env = "GREENROOM_DISPATCH_JOIN_DEADLINE_MS")]
    pub join_deadline_ms: u64,
    /// How long the agent may take once there is a job.
    #[config(env = "GREENROOM_DISPATCH_JOIN_DEADLINE_WITH_JOB_MS")]
    pub join_deadline_with_job_ms: u64,
    /// How long a creation may take in all.
    #[config(env = "GREENROOM_DISPATCH_CREATION_BUDGET_MS")]
    pub creation_budget_ms: u64,
    /// How often a failed creation is tried again.
    #[config(env = "GREENROOM_DISPATCH_CREATION_RETRIES")]
    pub creation_retries: u32,
    /// The wait before the first retry; it doubles with each.
    #[config(env = "GREENROOM_DISPATCH_CREATION_BACKOFF_MS")]
    pub creation_backoff_ms: u64,
    /// How long a claim holds without being renewed.
    #[config(env = "GREENROOM_DISPATCH_CLAIM_MS")]
    pub claim_ms: u64,
    /// How long a failure answers for those who wait.
    #[config(env = "GREENROOM_DISPATCH_FAILURE_HOLD_MS")]
    pub failure_hold_ms: u64,
    /// How many new dispatches follow each other quickly.
    #[config(env = "GREENROOM_DISPATCH_QUICK_TRIES")]
    pub quick_tries: u32,
    /// How often a degraded dispatch is tried again.
    #[config(env = "GREENROOM_DISPATCH_SLOW_TRY_INTERVAL_MS")]
    pub slow_try_interval_ms: u64,
    /// The most calls to the provider at once.
    #[config(env = "GREENROOM_DISPATCH_PROVIDER_CONCURRENCY_MAX")]
    pub provider_concurrency_max: usize,
    /// Whether the time to live adapts to how people come back.
    #[config(env = "GREENROOM_DISPATCH_TTL_ADAPTS")]
    pub ttl_adapts: bool,
    /// The shortest time to live where it adapts.
    #[config(env = "GREENROOM_DISPATCH_TTL_SECONDS_MIN")]
    pub ttl_seconds_min: u32,
    /// The longest time to live where it adapts.
    #[config(env = "GREENROOM_DISPATCH_TTL_SECONDS_MAX")]
    pub ttl_seconds_max: u32,
    /// The age at which a dispatch ends, whoever is there.
    #[config(env = "GREENROOM_DISPATCH_AGE_SECONDS_MAX")]
    pub age_seconds_max: u32,
    /// The most live dispatches of a tenant.
    #[config(env = "GREENROOM_DISPATCH_LIVE_PER_TENANT_MAX")]
    pub live_per_tenant_max: u32,
    /// The most live dispatches of an agent of a tenant.
    #[config(env = "GREENROOM_DISPATCH_LIVE_PER_AGENT_MAX")]
    pub live_per_agent_max: u32,
    /// How often what the provider has is compared with what Redis has.
    #[config(env = "GREENROOM_DISPATCH_RECONCILE_INTERVAL_MS")]
    pub reconcile_interval_ms: u64,
    /// Whether nothing is changed at the provider.
    #[config(env = "GREENROOM_DISPATCH_OBSERVE_ONLY")]
    pub observe_only: bool,
    /// What differs for single agents, by name.
    pub agents: BTreeMap<String, AgentSettings>,
}

/// `[leader]`: the elected replica.
#[derive(Debug, Clone, Section)]
pub struct Leader {
    /// How long a replica leads without renewing.
    #[config(env = "GREENROOM_LEADER_LEASE_MS")]
    pub lease_ms: u64,
    /// How often it renews.
    #[config(env = "GREENROOM_LEADER_RENEW_MS")]
    pub renew_ms: u64,
    /// How often it looks for what is due.
    #[config(env = "GREENROOM_LEADER_SCAN_INTERVAL_MS")]
    pub scan_interval_ms: u64,
}

/// `[log]`: what is logged, and how.
#[derive(Debug, Clone, Section)]
pub struct Log {
    /// Levels, by module where wanted.
    #[config(env = "GREENROOM_LOG_FILTER")]
    pub filter: String,
    /// How a line looks.
    #[config(env = "GREENROOM_LOG_FORMAT")]
    pub format: LogFormat,
    /// The most lines in a second.
    #[config(env = "LOG_RATE_LIMIT")]
    pub rate_limit_per_second: u32,
    /// Whether repeated lines are folded into one with a count.
    #[config(env = "ENABLE_LOG_AGGREGATION")]
    pub aggregation: bool,
    /// The memory above which the process warns; 0 is none.
    #[config(env = "GREENROOM_LOG_MEMORY_BYTES_MAX")]
    pub memory_bytes_max: u64,
}

/// What happens when somebody comes back to a room that was empty in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReturnPolicy {
    /// The agent that stayed, if it reports that it lives; else a fresh one.
    #[default]
    Reported,
    /// The agent that stayed.
    Always,
    /// A fresh one.
    Never,
}

impl ReturnPolicy {
    /// The policy's name in settings and Redis.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// What differs for one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSettings {
    /// Its own policy for the return to an empty room.
    pub return_policy: Option<ReturnPolicy>,
    /// How long its dispatches outlive the last person, in seconds.
    pub ttl_seconds: Option<u32>,
    /// The age at which its dispatches end, in seconds; 0 is none.
    pub age_seconds_max: Option<u32>,
    /// The most live dispatches of it; 0 is none.
    pub live_max: Option<u32>,
}

/// How the lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line, the event's fields at its top level.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Who serves dispatches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// A LiveKit server.
    LiveKit,
    /// A simulation within the process.
    Simulated,
    /// Pools of warm workers; rooms and people are LiveKit's where it is configured.
    Pool,
}

/// The three settings without which there is no LiveKit.
#[derive(Debug, Clone, Copy)]
pub struct LiveKitCredentials<'a> {
    /// The server's address.
    pub url: &'a str,
    /// The API key.
    pub api_key: &'a str,
    /// The secret that belongs to the key.
    pub api_secret: &'a SecretString,
}

impl Server {
    /// Where agents and pages reach this replica or the balancer before it; without a `/` at the end.
    pub fn public_url(&self) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", self.listen),
        }
    }
}

impl Server {
    /// Whether the address that agents are handed can be reached by anybody: `0.0.0.0` is none.
    pub fn is_reachable(&self) -> bool {
        self.public_url.is_some() || !self.listen.ip().is_unspecified()
    }
}

impl Dispatch {
    /// The bounds of the time to live in seconds, where it adapts.
    pub fn ttl_bounds(&self) -> Option<(u32, u32)> {
        self.ttl_adapts.then_some((self.ttl_seconds_min, self.ttl_seconds_max))
    }
}

impl LiveKit {
    /// The server and its key; `None` where no LiveKit is used.
    pub fn credentials(&self) -> Option<LiveKitCredentials<'_>> {
        Some(LiveKitCredentials {
            url: self.url.as_deref()?,
            api_key: self.api_key.as_deref()?,
            api_secret: self.api_secret.as_ref()?,
        })
    }
}

/// Gives each time among the settings a method that returns it as a [`Duration`].
macro_rules! durations {
    ($($section:ident { $($name:ident = $constructor:ident($field:ident),)+ })+) => {
        $(impl $section {
            $(
                #[doc = concat!("`", stringify!($field), "` as a duration.")]
                pub fn $name(&self) -> Duration {
                    Duration::$constructor(self.$field.into())
                }
            )+
        })+
    };
}

durations! {
    Server {
        http_request_timeout = from_millis(http_request_timeout_ms),
        header_read_timeout = from_millis(header_read_timeout_ms),
        idle_timeout = from_millis(idle_timeout_ms),
        write_timeout = from_millis(write_timeout_ms),
        drain = from_millis(drain_ms),
        grace = from_millis(grace_ms),
    }
    Redis {
        command_timeout = from_millis(command_timeout_ms),
    }
    LiveKit {
        call_timeout = from_millis(call_timeout_ms),
        call_timeout_min = from_millis(call_timeout_ms_min),
    }
    Dispatch {
        ttl = from_secs(ttl_seconds),
        cleanup_interval = from_millis(cleanup_interval_ms),
        liveness_window = from_millis(liveness_window_ms),
        check_interval = from_millis(check_interval_ms),
        heartbeat_believed = from_millis(heartbeat_believed_ms),
        join_deadline = from_millis(join_deadline_ms),
        join_deadline_with_job = from_millis(join_deadline_with_job_ms),
        creation_budget = from_millis(creation_budget_ms),
        creation_backoff = from_millis(creation_backoff_ms),
        claim = from_millis(claim_ms),
        failure_hold = from_millis(failure_hold_ms),
        slow_try_interval = from_millis(slow_try_interval_ms),
        reconcile_interval = from_millis(reconcile_interval_ms),
    }
    Leader {
        lease = from_millis(lease_ms),
        renew = from_millis(renew_ms),
        scan_interval = from_millis(scan_interval_ms),
    }
}
