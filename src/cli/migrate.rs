//! `greenroom migrate`: makes the schema, or brings it up to this release's version.

use super::{CliError, say};
use crate::app::store_options;
use crate::config::Config;
use crate::store::{SCHEMA_VERSION, Store};

pub(super) async fn run(config: Config) -> Result<(), CliError> {
    let options = store_options(&config);
    let store = Store::open(&options, options.shards).map_err(anyhow::Error::from)?;
    let schema = store.migrate().await.map_err(anyhow::Error::from)?;
    say(&format!(
        "schema version {} (this release: {SCHEMA_VERSION}), {} shards, store {}",
        schema.version, schema.shards, schema.store_id
    ))
}
