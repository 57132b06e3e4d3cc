//! `greenroom serve`: a replica.
use super::CliError;
use crate::config::Config;

#[expect(clippy::unused_async, reason = "the outline comes first")]
pub(super) async fn run(_config: Config) -> Result<(), CliError> {
    Err(anyhow::anyhow!("`greenroom serve` is not wired yet").into())
}
