//! `greenroom pool list|get` and `greenroom worker list|get|cordon|…`: pools and their workers, straight in Redis.

use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;

use super::{CliError, say, time};
use crate::app::{pool_settings, store_options};
use crate::config::Config;
use crate::id::WorkerId;
use crate::name::Name;
use crate::pool::{Pool, PoolName, PoolStatus, Pools, Worker, WorkerState};
use crate::store::{Hints, Store};

/// Things asked for at once.
const PAGE: u32 = 500;

/// The arguments of `greenroom pool`.
#[derive(Debug, clap::Args)]
pub struct PoolArgs {
    /// What to do with pools
    #[command(subcommand)]
    pub verb: PoolVerb,
    /// Whose pools are meant
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    pub tenant: String,
}

/// `greenroom pool …`
#[derive(Debug, Subcommand)]
pub enum PoolVerb {
    /// List all, with how many workers they have
    List,
    /// Show one, with its settings and what was last done about its size
    Get {
        /// Its name
        pool: String,
    },
    /// Remove one that nobody uses
    Delete {
        /// Its name
        pool: String,
    },
    /// Show how one does: reuse, waits, resets, affinity
    Stats {
        /// Its name
        pool: String,
    },
}

/// The arguments of `greenroom worker`.
#[derive(Debug, clap::Args)]
pub struct WorkerArgs {
    /// What to do with workers
    #[command(subcommand)]
    pub verb: WorkerVerb,
    /// Whose workers are meant
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    pub tenant: String,
}

/// `greenroom worker …`
#[derive(Debug, Subcommand)]
pub enum WorkerVerb {
    /// List those of a pool
    List {
        /// The pool's name
        pool: String,
    },
    /// Show one, with its last steps
    Get {
        /// Its id
        worker: String,
    },
    /// Give it no new sessions
    Cordon {
        /// Its id
        worker: String,
    },
    /// Give it sessions again
    Uncordon {
        /// Its id
        worker: String,
    },
    /// Let it go once its session is over
    Drain {
        /// Its id
        worker: String,
    },
    /// Replace it, once its session is over
    Recycle {
        /// Its id
        worker: String,
    },
}

pub(super) async fn pool(config: Config, PoolArgs { verb, tenant }: PoolArgs) -> Result<(), CliError> {
    let tenant = Name::tenant(tenant).context("the tenant's name")?;
    let pools = open(&config).await?;
    match verb {
        PoolVerb::List => {
            say(&line(["NAME", "DESIRED", "CURRENT", "READY", "LEASED", "WAITING", "WARM-HIT", "RUNNERS"]))?;
            let mut cursor = None;
            loop {
                let page = pools.list(&tenant, cursor.as_deref(), PAGE).await.map_err(anyhow::Error::from)?;
                for pool in &page.pools {
                    say(&row(pool))?;
                }
                cursor = page.next_cursor;
                if cursor.is_none() {
                    return Ok(());
                }
            }
        }
        PoolVerb::Get { pool } => {
            let name = PoolName { tenant, pool: Name::strict(pool).context("the pool's name")? };
            let pool = pools.get(&name).await.map_err(anyhow::Error::from)?;
            say(&line(["NAME", "DESIRED", "CURRENT", "READY", "LEASED", "WAITING", "WARM-HIT", "RUNNERS"]))?;
            say(&row(&pool))?;
            say(&format!("settings  {}", pool.settings))?;
            for plan in &pool.status.plans {
                let (at, reason) = (time(plan.at_ms), &plan.reason);
                say(&format!(
                    "  {at}  {reason:<12}  wanted {}, there {}: {} start, {} go",
                    plan.wanted, plan.there, plan.starts, plan.goes
                ))?;
            }
            Ok(())
        }
        PoolVerb::Delete { pool } => {
            let name = PoolName { tenant, pool: Name::strict(pool).context("the pool's name")? };
            pools.delete(&name).await.map_err(anyhow::Error::from)?;
            say("it is gone")
        }
        PoolVerb::Stats { pool } => {
            let name = PoolName { tenant, pool: Name::strict(pool).context("the pool's name")? };
            stats(&pools.get(&name).await.map_err(anyhow::Error::from)?.status)
        }
    }
}

fn stats(status: &PoolStatus) -> Result<(), CliError> {
    for (state, count) in &status.workers {
        say(&format!("{:<14}{count}", state.as_str()))?;
    }
    let waits = &status.waits;
    for line in [
        format!(
            "sessions      {}, {} of them on a worker that had served before",
            status.sessions_total, status.reused_total
        ),
        format!("now           {} have a worker, {} wait", status.leases, status.waiting),
        format!("keyed         {}, {} of them idle", status.keyed, status.idle),
        format!(
            "              used again {}, evicted {}, rebound {}",
            status.keyed_reused, status.keyed_evicted, status.keyed_rebound
        ),
        format!(
            "waits         {} of {} lately, {} ms on average, {} ms at most",
            waits.waited,
            waits.served,
            waits.mean_ms(),
            waits.max_ms
        ),
        format!("resets        {} proved, {} failed", status.resets_proved, status.resets_failed),
        format!("affinity      {} hits, {} misses", status.affinity_hits, status.affinity_misses),
    ] {
        say(&line)?;
    }
    Ok(())
}

pub(super) async fn worker(config: Config, WorkerArgs { verb, tenant }: WorkerArgs) -> Result<(), CliError> {
    let tenant = Name::tenant(tenant).context("the tenant's name")?;
    let pools = open(&config).await?;
    let (worker, mark) = match &verb {
        WorkerVerb::List { pool } => {
            let pool = PoolName { tenant, pool: Name::strict(pool).context("the pool's name")? };
            let mut cursor = None;
            loop {
                let page = pools.workers(&pool, cursor.as_deref(), PAGE).await.map_err(anyhow::Error::from)?;
                for worker in &page.workers {
                    say(&of_worker(worker))?;
                }
                cursor = page.next_cursor;
                if cursor.is_none() {
                    return Ok(());
                }
            }
        }
        WorkerVerb::Get { worker } => (worker, None),
        WorkerVerb::Cordon { worker } => (worker, Some("cordon")),
        WorkerVerb::Uncordon { worker } => (worker, Some("uncordon")),
        WorkerVerb::Drain { worker } => (worker, Some("drain")),
        WorkerVerb::Recycle { worker } => (worker, Some("recycle")),
    };
    let id: WorkerId = worker.parse().context("the worker's id")?;
    let worker = match mark {
        None => pools.worker(&tenant, id).await,
        Some(mark) => pools.mark(&tenant, id, mark, None).await,
    };
    let worker = worker.map_err(anyhow::Error::from)?;
    say(&of_worker(&worker))?;
    for step in &worker.history {
        say(&format!("  {}  {:<12}  {}", time(step.at_ms), step.state.as_str(), step.reason))?;
    }
    Ok(())
}

pub(super) async fn open(config: &Config) -> Result<Pools, CliError> {
    let store = Store::connect(&store_options(config)).await.context("Redis")?;
    Ok(Pools::new(
        store,
        Hints::default(),
        pool_settings(config),
        Duration::from_millis(config.pool.runner_believed_ms),
    ))
}

fn line(columns: [&str; 8]) -> String {
    let [name, rest @ ..] = columns;
    rest.iter().fold(format!("{name:<24}"), |line, column| format!("{line}  {column:>8}"))
}

fn row(pool: &Pool) -> String {
    let status = &pool.status;
    let count = |state: WorkerState| status.workers.iter().find(|(known, _)| *known == state).map_or(0, |it| it.1);
    let current: u64 = status.workers.iter().map(|(_, count)| count).sum();
    // The newest look that changed something says how many there should be.
    let desired = status.plans.first().map_or_else(|| "-".to_owned(), |plan| plan.wanted.to_string());
    let warm = (status.reused_total * 100).checked_div(status.sessions_total);
    line([
        pool.name.pool.as_str(),
        &desired,
        &current.to_string(),
        &count(WorkerState::Ready).to_string(),
        &status.leases.to_string(),
        &status.waiting.to_string(),
        &warm.map_or_else(|| "-".to_owned(), |percent| format!("{percent}%")),
        &status.runners.to_string(),
    ])
}

fn of_worker(worker: &Worker) -> String {
    let cordoned = if worker.cordoned { "  cordoned" } else { "" };
    format!(
        "{}  {:<12} since {} because of {}{cordoned}  {}  sessions: {}  on {}",
        worker.id,
        worker.state.as_str(),
        time(worker.since_ms),
        worker.reason,
        worker.health,
        worker.sessions,
        worker.runner
    )
}
