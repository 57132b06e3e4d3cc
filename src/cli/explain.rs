//! `greenroom explain lobby`: why a room has, or has no, agent.

use anyhow::Context as _;

use super::{CliError, ExplainArgs, say, time};
use crate::app::store_options;
use crate::config::Config;
use crate::dispatch;
use crate::name::Name;
use crate::store::Store;

pub(super) async fn run(config: Config, args: ExplainArgs) -> Result<(), CliError> {
    let room = Name::room(args.room).context("the room's name")?;
    let tenant = Name::tenant(args.tenant).context("the tenant's name")?;
    let store = Store::connect(&store_options(&config)).await.context("Redis")?;
    let (dispatches, steps) = dispatch::explain(&store, &tenant, &room).await.map_err(anyhow::Error::from)?;
    for step in &steps {
        say(&format!(
            "{}  {:<9} {:<16} {}  {}",
            time(step.at_ms),
            step.state,
            step.reason,
            step.agent,
            step.dispatch_id
        ))?;
    }
    if dispatches.is_empty() && steps.is_empty() {
        return Err(anyhow::anyhow!("nothing is known of this room: nobody has asked for an agent lately").into());
    } else if dispatches.is_empty() {
        say("no agent: its dispatch has ended")?;
    }
    for found in &dispatches {
        let expiry = found.ttl_expires_at_ms.map_or_else(|| "not while people are there".to_owned(), time);
        say(&format!(
            "{} {} because of {}; people: {}, tries: {}, expires: {expiry}",
            found.place.agent,
            found.state.as_str(),
            found.reason,
            found.participant_count,
            found.tries
        ))?;
    }
    Ok(())
}
