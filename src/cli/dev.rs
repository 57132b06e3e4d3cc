//! `greenroom dev`: everything on one machine.
use super::{CliError, DevArgs};
use crate::config::Config;

#[expect(clippy::unused_async, reason = "the outline comes first")]
pub(super) async fn run(_config: Config, _args: DevArgs) -> Result<(), CliError> {
    Err(anyhow::anyhow!("`greenroom dev` is not wired yet").into())
}
