//! `greenroom serve`: a replica.

use anyhow::Context as _;
use tracing::field::Empty;

use super::CliError;
use crate::app::{self, Replica};
use crate::config::Config;
use crate::lifecycle::{Stopped, signalled};
use crate::telemetry;

pub(super) async fn run(config: Config) -> Result<(), CliError> {
    config.check_serving()?;
    let _logs = telemetry::init(&config.log).context("logs")?;
    let replica = Replica::start(&config, app::provider(&config)?).await?;
    let shutdown = replica.shutdown();
    tokio::spawn(async move {
        if let Ok(signal) = signalled().await {
            tracing::info!(line.kept = Empty, signal, "asked to stop");
        }
        shutdown.begin();
    });
    match replica.run().await {
        Stopped::Clean => Ok(()),
        Stopped::CutShort { .. } => Err(anyhow::anyhow!("stopped before everything was finished").into()),
    }
}
