//! One replica, wired: settings → store, provider, domain, background, HTTP.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::Empty;

use crate::access::{Access, Limits, Strangers};
use crate::alert::{self, AlertRules, Alerts};
use crate::background::{self, BackgroundOptions};
use crate::breaker::{Breakers, Rules};
use crate::config::{Config, ProviderKind};
use crate::dispatch::{Dispatches, Settings, TokenMint};
use crate::error_report::{self, ErrorReports, GroupBounds, Reporter};
use crate::http::{AppState, HttpSettings, Policies, Readiness, Server, ServerOptions, Texts, router};
use crate::lifecycle::{Shutdown, StopOptions, Stopped};
use crate::lock::Locks;
use crate::name::Name;
use crate::pool::{Numbers, PoolSettings, Pools};
use crate::provider::{POOL, Provider};
use crate::store::{Hints, Store, StoreOptions};
use crate::telemetry::{self, Metrics};

mod providers;

pub use providers::provider;
use providers::{by_pool, door, follow_simulation};

/// How long `/v1` waits for a creation before it answers 202.
const PAGE_PATIENCE: Duration = Duration::from_secs(10);
/// Files that are kept free for connections to Redis and LiveKit, and whatever else the process opens.
const FILES_OF_OUR_OWN: usize = 512;

/// A replica that runs.
#[derive(Debug)]
pub struct Replica {
    server: Server,
    shutdown: Shutdown,
    background: TaskTracker,
    stop_background: CancellationToken,
    stop_options: StopOptions,
}

/// How the settings say that the store is reached.
pub fn store_options(config: &Config) -> StoreOptions {
    StoreOptions {
        url: config.redis.url.clone(),
        command_timeout: config.redis.command_timeout(),
        shards: config.redis.shards,
        wait_replicas: config.redis.wait_replicas,
        clock: crate::clock::Clock::Redis,
    }
}

impl Replica {
    /// Starts a replica; returns once it serves.
    pub async fn start(config: &Config, provider: Provider) -> anyhow::Result<Self> {
        let store = Store::connect(&store_options(config)).await.context("Redis")?;
        if !config.server.is_reachable() {
            tracing::warn!(
                public_url = config.server.public_url(),
                "agents cannot report to this address: set GREENROOM_SERVER_PUBLIC_URL"
            );
        }
        let shutdown = Shutdown::new();
        let metrics = Arc::new(Metrics::new());
        let hints = Hints::default();
        let believed = config.pool.runner_believed();
        let pools =
            Pools::new(store.clone(), hints.clone(), pool_settings(config), believed).until(shutdown.stopping());
        let by_pool = by_pool(config, &pools, &provider);
        let is_default = config.dispatch.provider == ProviderKind::Pool;
        let dispatches = Dispatches::new(
            store.clone(),
            if is_default { Provider::Pool(by_pool.clone()) } else { provider.clone() },
            domain_settings(config),
            mint(config, &store).await?,
            hints.clone(),
            shutdown.tasks().clone(),
            Arc::clone(&metrics),
        );
        dispatches.serve_by_pools(by_pool);
        let stop_background = CancellationToken::new();
        if let Provider::Simulated(simulated) = &provider {
            follow_simulation(simulated, &dispatches, &stop_background);
        }
        let options = BackgroundOptions {
            lease: config.leader.lease(),
            renew: config.leader.renew(),
            scan: config.leader.scan_interval(),
        };
        let stop_leading = shutdown.stopping();
        let (background, leadership) = background::start(
            &store,
            (&dispatches, &pools),
            &hints,
            &options,
            &metrics,
            &stop_leading,
            &stop_background,
        );
        let (reporter, incidents) = Reporter::new(Arc::clone(&metrics));
        dispatches.report_to(reporter.clone());
        let errors = ErrorReports::new(store.clone(), group_bounds(config));
        let alerts = Alerts::new(store.clone(), alert_rules(config));
        background.spawn(error_report::run(errors.clone(), incidents, Arc::clone(&metrics), stop_background.clone()));
        let term = move || leadership.term();
        background.spawn(alert::run(alerts.clone(), term, Arc::clone(&metrics), stop_leading.clone()));
        let key = config.server.api_key.as_ref().context("no API key: set GREENROOM_API_KEY")?;
        let state = AppState {
            breakers: Breakers::new(store.clone(), dispatches.breakers()),
            dispatches,
            locks: Locks::new(store.clone(), hints).until(shutdown.stopping()),
            pools,
            errors,
            reporter,
            alerts,
            texts: texts(config)?,
            access: Access::new(store.clone(), key),
            limits: Limits::new(store.clone(), NonZeroU32::new(config.server.rate_limit_per_second)),
            strangers: Strangers::new(NonZeroU32::new(config.server.wrong_keys_per_second)),
            policies: Policies::new(config),
            metrics: Arc::clone(&metrics),
            readiness: readiness(&store),
            shutdown: shutdown.clone(),
            livekit: door(config, &provider),
            settings: http_settings(config)?,
        };
        let server_options = ServerOptions {
            listen: config.server.listen,
            header_read_timeout: config.server.header_read_timeout(),
            idle_timeout: config.server.idle_timeout(),
            write_timeout: config.server.write_timeout(),
            connections_max: connections_max(config),
        };
        let server = Server::start(server_options, router(Arc::new(state)), metrics, shutdown.stopping())
            .with_context(|| format!("cannot listen on {}", config.server.listen))?;
        // The setting counts from the signal on, the stop from the end of the drain.
        let (drain, grace) = (config.server.drain(), config.server.grace());
        let stop_options = StopOptions { drain, grace: grace.saturating_sub(drain) };
        let served_by = if is_default { POOL } else { provider.name() };
        tracing::info!(line.kept = Empty, address = %server.address(), provider = served_by, "serving");
        Ok(Self { server, shutdown, background, stop_background, stop_options })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Starts the way out from elsewhere.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Runs until its shutdown began and everything is finished.
    pub async fn run(self) -> Stopped {
        let stopped = self.shutdown.finish(self.server.served(), self.stop_options).await;
        // Those who wait for a place are answered by now.
        self.stop_background.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(3), self.background.wait()).await;
        stopped
    }
}

/// Every replica must make the same tokens, also after Redis came back empty: the LiveKit secret
/// is what they share. Without LiveKit there is the store's id.
async fn mint(config: &Config, store: &Store) -> anyhow::Result<TokenMint> {
    Ok(match config.livekit.credentials() {
        Some(credentials) => TokenMint::new(credentials.api_secret.expose_secret()),
        None => TokenMint::new(&store.create_schema().await.context("Redis")?.store_id),
    })
}

fn group_bounds(config: &Config) -> GroupBounds {
    GroupBounds { groups_max: config.errors.groups_per_tenant_max, lifetime: config.errors.lifetime() }
}

fn alert_rules(config: &Config) -> AlertRules {
    let set = &config.alerts;
    AlertRules {
        agents_live_max: set.agents_live_max,
        cleanup_failures_percent_max: set.cleanup_failures_percent_max,
        cleanups_min: set.cleanups_min.into(),
        logs_dropped_percent_max: set.logs_dropped_percent_max,
        log_lines_min: set.log_lines_min.into(),
        providers_failing_max: set.providers_failing_max,
        operation_errors_percent_max: set.operation_errors_percent_max,
        operations_min: set.operations_min.into(),
        window: set.window(),
        clear_after: set.clear_after(),
        interval: set.interval(),
    }
}

fn texts(config: &Config) -> anyhow::Result<Texts> {
    match &config.errors.texts_file {
        Some(path) => Texts::load(Path::new(path)).map_err(|error| anyhow::anyhow!("errors.texts_file: {error}")),
        None => Ok(Texts::default()),
    }
}

fn readiness(store: &Store) -> Readiness {
    let (redis, schema) = (store.clone(), store.clone());
    Readiness::new()
        .with(
            "redis",
            Box::new(move || {
                let redis = redis.clone();
                async move { redis.ping().await.map_err(|error| error.to_string()) }.boxed()
            }),
        )
        .with(
            "schema",
            Box::new(move || {
                let schema = schema.clone();
                async move {
                    let found = schema.create_schema().await.map_err(|error| error.to_string())?;
                    found.check().map_err(|error| error.to_string())
                }
                .boxed()
            }),
        )
}

/// As many as the settings allow, and as the process may open files for.
fn connections_max(config: &Config) -> usize {
    let wanted = config.server.connections_max;
    let Some(files_max) = telemetry::open_files_max() else { return wanted };
    let possible = files_max.saturating_sub(FILES_OF_OUR_OWN).max(1);
    if wanted > possible {
        tracing::info!(wanted, possible, files_max, "fewer connections than set: the process may not open more files");
    }
    wanted.min(possible)
}

fn http_settings(config: &Config) -> anyhow::Result<HttpSettings> {
    let default_agent = config.dispatch.default_agent.clone().unwrap_or_else(|| "agent".to_owned());
    let page_agents: Result<Vec<Name>, _> = config.dispatch.page_agents.iter().map(Name::strict).collect();
    Ok(HttpSettings {
        default_agent: Name::strict(default_agent).context("dispatch.default_agent")?,
        page_agents: page_agents.context("dispatch.page_agents")?,
        creation_budget: config.dispatch.creation_budget(),
        page_patience: PAGE_PATIENCE,
        request_timeout: config.server.http_request_timeout(),
        body_bytes_max: config.server.body_bytes_max,
        cors_origins: config.server.cors_origins.clone(),
        trusted_proxies: config.server.trusted_proxies,
    })
}

fn domain_settings(config: &Config) -> Settings {
    let dispatch = &config.dispatch;
    Settings {
        breaker: breaker_rules(config),
        room_failures_max: config.breaker.room_failures_max,
        breaker_jitter_max: Settings::default().breaker_jitter_max,
        public_url: config.server.public_url(),
        ttl_seconds: dispatch.ttl_seconds,
        cleanup_interval: dispatch.cleanup_interval(),
        liveness_window: dispatch.liveness_window(),
        check_interval: dispatch.check_interval(),
        heartbeat_believed: dispatch.heartbeat_believed(),
        return_policy: dispatch.return_policy,
        join_deadline: dispatch.join_deadline(),
        join_deadline_with_job: dispatch.join_deadline_with_job(),
        creation_budget: dispatch.creation_budget(),
        creation_retries: dispatch.creation_retries,
        creation_backoff: dispatch.creation_backoff(),
        pause_part_min: Settings::default().pause_part_min,
        claim: dispatch.claim(),
        failure_hold: dispatch.failure_hold(),
        quick_tries: dispatch.quick_tries,
        slow_try_interval: dispatch.slow_try_interval(),
        provider_concurrency_max: dispatch.provider_concurrency_max,
        reconcile_interval: dispatch.reconcile_interval(),
        observe_only: dispatch.observe_only,
        age_seconds_max: dispatch.age_seconds_max,
        ttl_bounds: dispatch.ttl_bounds(),
        live_per_tenant_max: dispatch.live_per_tenant_max,
        live_per_agent_max: dispatch.live_per_agent_max,
        agents: dispatch.agents.iter().map(|(name, own)| (name.clone(), own.clone())).collect::<HashMap<_, _>>(),
    }
}

/// How a pool is that nobody defined.
pub fn pool_settings(config: &Config) -> PoolSettings {
    let pool = &config.pool;
    let numbers = Numbers {
        spare: pool.spare,
        max: pool.max,
        sessions_max: pool.sessions_max,
        age_ms: pool.age_minutes.saturating_mul(60_000),
        ..Numbers::default()
    };
    PoolSettings { numbers, ..PoolSettings::default() }
}

fn breaker_rules(config: &Config) -> Rules {
    let breaker = &config.breaker;
    // A permit must not lapse before its call is answered.
    let call_ms = u32::try_from(config.livekit.call_timeout_ms).unwrap_or(u32::MAX);
    Rules {
        failures_max: breaker.failures_max,
        failure_percent: breaker.failure_percent,
        slow_percent: breaker.slow_percent,
        slow_ms: breaker.slow_ms,
        calls_min: breaker.calls_min,
        window_ms: breaker.window_ms,
        open_ms: breaker.open_ms,
        open_ms_max: breaker.open_ms_max,
        probes_max: breaker.probes_max,
        probe_ms: breaker.probe_ms.max(call_ms),
        successes_min: breaker.successes_min,
    }
}
