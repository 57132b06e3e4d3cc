//! `greenroom key`: the Redis keys of things.
use super::{CliError, KeyArgs};
use crate::config::Config;

#[expect(clippy::unused_async, reason = "the outline comes first")]
pub(super) async fn run(_config: Config, _args: KeyArgs) -> Result<(), CliError> {
    Err(anyhow::anyhow!("`greenroom key` is not wired yet").into())
}
