//! `greenroom serve`: a replica.

use anyhow::Context as _;

use super::CliError;
use crate::app::{self, Replica};
use crate::config::Config;
use crate::lifecycle::{Stopped, signalled};
use crate::telemetry;

pub(super) async fn run(config: Config) -> Result<(), CliError> {
    config.check_serving()?;
    telemetry::init(config.log.format, &config.log.filter).context("logs")?;
    let replica = Replica::start(&config, app::provider(&config)?).await?;
    let shutdown = replica.shutdown();
    tokio::spawn(async move {
        if let Ok(signal) = signalled().await {
            tracing::info!(signal, "asked to stop");
        }
        shutdown.begin();
    });
    match replica.run().await {
        Stopped::Clean => Ok(()),
        Stopped::CutShort { .. } => Err(anyhow::anyhow!("stopped before everything was finished").into()),
    }
}
