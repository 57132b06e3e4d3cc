//! `greenroom agent drain voice-v1`: for deploys, when the API is not at hand.

use anyhow::Context as _;

use super::{AgentArgs, AgentCommand, CliError, say, time};
use crate::app::store_options;
use crate::config::Config;
use crate::dispatch;
use crate::name::Name;
use crate::store::Store;

pub(super) async fn run(config: Config, AgentArgs { command, tenant }: AgentArgs) -> Result<(), CliError> {
    let (AgentCommand::Get { agent } | AgentCommand::Drain { agent } | AgentCommand::Undrain { agent }) = &command;
    let tenant = Name::tenant(tenant).context("the tenant's name")?;
    let agent = Name::strict(agent.clone()).context("the agent's name")?;
    let store = Store::connect(&store_options(&config)).await.context("Redis")?;
    if !matches!(command, AgentCommand::Get { .. }) {
        let drains = matches!(command, AgentCommand::Drain { .. });
        store.drain_agent(&tenant, &agent, drains, None).await.map_err(anyhow::Error::from)?;
    }
    let status = dispatch::agent_status(&store, &tenant, &agent).await.map_err(anyhow::Error::from)?;
    let drains = status
        .draining_since_ms
        .map_or_else(|| "takes new rooms".to_owned(), |at| format!("drains since {}", time(at)));
    say(&format!("{agent}  {drains}  dispatches: {}", status.dispatches))
}
