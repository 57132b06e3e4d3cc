//! `greenroom session list|get|end`: sessions of pools, straight in Redis.

use anyhow::Context as _;
use clap::Subcommand;

use super::pool::open;
use super::{CliError, say, time};
use crate::config::Config;
use crate::name::Name;
use crate::pool::{PoolName, Session, SessionRef};

/// Sessions asked for at once.
const PAGE: u32 = 500;

/// The arguments of `greenroom session`.
#[derive(Debug, clap::Args)]
pub struct SessionArgs {
    /// What to do with sessions
    #[command(subcommand)]
    pub verb: SessionVerb,
    /// Whose sessions are meant
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    pub tenant: String,
}

/// `greenroom session …`
#[derive(Debug, Subcommand)]
pub enum SessionVerb {
    /// List those of a pool that have a worker
    List {
        /// The pool's name
        pool: String,
    },
    /// Show one
    Get(WhichSession),
    /// End one, whoever holds it: its worker forgets it
    End(WhichSession),
}

/// Which session is meant.
#[derive(Debug, clap::Args)]
pub struct WhichSession {
    /// The pool's name
    pub pool: String,
    /// The session's name, or with --key the key
    pub name: String,
    /// A key is meant
    #[arg(long)]
    pub key: bool,
}

pub(super) async fn run(config: Config, SessionArgs { verb, tenant }: SessionArgs) -> Result<(), CliError> {
    let tenant = Name::tenant(tenant).context("the tenant's name")?;
    let pools = open(&config).await?;
    let pool_of = |pool: String| anyhow::Ok(PoolName { tenant, pool: Name::strict(pool).context("the pool's name")? });
    let (which, ends) = match verb {
        SessionVerb::List { pool } => {
            let (pool, mut cursor) = (pool_of(pool)?, None);
            loop {
                let page = pools.sessions(&pool, cursor.as_deref(), PAGE).await.map_err(anyhow::Error::from)?;
                for session in &page.sessions {
                    say(&line(session))?;
                }
                cursor = page.next_cursor;
                if cursor.is_none() {
                    return Ok(());
                }
            }
        }
        SessionVerb::Get(which) => (which, false),
        SessionVerb::End(which) => (which, true),
    };
    let name = Name::room(which.name).context("the session's name")?;
    let session = if which.key { SessionRef::Keyed(name) } else { SessionRef::Named(name) };
    let pool = pool_of(which.pool)?;
    if ends {
        pools.end_session(&pool, &session).await.map_err(anyhow::Error::from)?;
        return say("it is over");
    }
    say(&line(&pools.session(&pool, &session).await.map_err(anyhow::Error::from)?))
}

fn line(session: &Session) -> String {
    let lease = &session.lease;
    let name = match &lease.session {
        Some(SessionRef::Keyed(key)) => format!("key {key}"),
        Some(SessionRef::Named(name)) => name.to_string(),
        None => "-".to_owned(),
    };
    let worker = session.worker.as_ref();
    format!(
        "{name:<24}  {:<8} last used {}  {}  failures: {}  requests: {}  errors: {}  on {}",
        lease.state.as_str(),
        time(session.last_used_ms()),
        worker.map_or("-", |worker| &worker.health),
        worker.map_or(0, |worker| worker.failures),
        worker.map_or(0, |worker| worker.requests),
        worker.map_or(0, |worker| worker.errors),
        lease.worker.map_or_else(|| "-".to_owned(), |id| id.to_string()),
    )
}
