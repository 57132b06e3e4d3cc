//! `greenroom breaker list|get|force|reset`: circuit breakers, straight in Redis.

use std::time::Duration;

use anyhow::Context as _;

use super::{BreakerArgs, BreakerVerb, CliError, say, time};
use crate::app::store_options;
use crate::breaker::{Breaker, Breakers, Forced};
use crate::config::Config;
use crate::name::Name;
use crate::store::Store;

/// Breakers asked for at once.
const PAGE: u32 = 500;

pub(super) async fn run(config: Config, BreakerArgs { verb, tenant }: BreakerArgs) -> Result<(), CliError> {
    let tenant = Name::tenant(tenant).context("the tenant's name")?;
    let breakers = Breakers::new(Store::connect(&store_options(&config)).await.context("Redis")?, Vec::new());
    match verb {
        BreakerVerb::List => list(&breakers, &tenant).await,
        BreakerVerb::Get { breaker } => {
            let found = breakers.get(&tenant, &name(breaker)?).await.map_err(anyhow::Error::from)?;
            say(&line(&found))?;
            for change in &found.history {
                say(&format!("  {}  {:<9}  {}", time(change.at_ms), change.state.as_str(), change.reason))?;
            }
            Ok(())
        }
        BreakerVerb::Force { breaker, state, duration_seconds, reason } => {
            let lasts = duration_seconds.map(|seconds| Duration::from_secs(seconds.into()));
            let reason = reason.map(Name::room).transpose().context("the reason")?;
            let note = reason.as_ref().map(Name::as_str).unwrap_or_default();
            let forced = breakers.force(&tenant, &name(breaker)?, Forced::parse(&state), (lasts, note), None).await;
            say(&line(&forced.map_err(anyhow::Error::from)?))
        }
        BreakerVerb::Reset { breaker } => {
            say(&line(&breakers.reset(&tenant, &name(breaker)?, None).await.map_err(anyhow::Error::from)?))
        }
    }
}

async fn list(breakers: &Breakers, tenant: &Name) -> Result<(), CliError> {
    let mut cursor = None;
    loop {
        let page = breakers.list(tenant, cursor.as_deref(), PAGE).await.map_err(anyhow::Error::from)?;
        for breaker in &page.breakers {
            say(&line(breaker))?;
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

fn name(text: String) -> Result<Name, CliError> {
    Ok(Name::strict(text).context("the breaker's name")?)
}

fn line(breaker: &Breaker) -> String {
    let held = match (breaker.forced, breaker.forced_until_ms) {
        (Some(forced), Some(until)) => format!("  held {} until {}", forced.as_str(), time(until)),
        (Some(forced), None) => format!("  held {}", forced.as_str()),
        (None, _) => String::new(),
    };
    format!(
        "{}  {} since {} because of {}{held}  calls: {}, failed: {}, slow: {}, refused: {}",
        breaker.name,
        breaker.state.as_str(),
        time(breaker.since_ms),
        breaker.reason,
        breaker.total.calls,
        breaker.total.failures,
        breaker.total.slow,
        breaker.refused
    )
}
