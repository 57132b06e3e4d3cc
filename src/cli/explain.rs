//! `greenroom explain`: why a room has, or has no, agent.
use super::{CliError, ExplainArgs};
use crate::config::Config;

#[expect(clippy::unused_async, reason = "the outline comes first")]
pub(super) async fn run(_config: Config, _args: ExplainArgs) -> Result<(), CliError> {
    Err(anyhow::anyhow!("`greenroom explain` is not wired yet").into())
}
