//! The schema of the store: made once, changed only by `greenroom migrate`.
//!
//! A migration is a step from one version to the next, done once per shard and marked there, so
//! that one which was broken off is taken up where it stopped. There is one version so far.

use uuid::Uuid;

use super::keys::{SCHEMA, Shard};
use super::{Store, StoreError, script};

/// The version that this release works on.
pub const SCHEMA_VERSION: u32 = 1;

/// What the store says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Grows with every migration.
    pub version: u32,
    /// Fixed when the store was made.
    pub shards: u16,
    /// Made once: another id is another store.
    pub store_id: String,
}

impl Schema {
    /// Whether this release can work on the store. It runs beside replicas of the release before
    /// and after it, so one version ahead is taken.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.version < SCHEMA_VERSION {
            return Err(StoreError::Schema {
                detail: format!(
                    "the store has schema version {}, this release needs {SCHEMA_VERSION}: run `greenroom migrate`",
                    self.version
                ),
            });
        }
        if self.version > SCHEMA_VERSION + 1 {
            return Err(StoreError::Schema {
                detail: format!(
                    "the store has schema version {}, this release knows {SCHEMA_VERSION}: run a newer release",
                    self.version
                ),
            });
        }
        Ok(())
    }
}

impl Store {
    /// Makes the schema where the store is empty; returns it as it stands.
    pub async fn create_schema(&self) -> Result<Schema, StoreError> {
        // Where there is one, nothing is written: it is asked for also while Redis takes no writes.
        if let Some(schema) = self.read_schema().await? {
            return Ok(schema);
        }
        let args = [SCHEMA_VERSION.to_string(), self.shards().to_string(), Uuid::now_v7().to_string()];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let (version, shards, store_id) = self.call(&script::SCHEMA_CREATE, &[SCHEMA], &args).await?;
        Ok(Schema { version, shards, store_id })
    }

    /// The schema as it stands; none in an empty store.
    pub async fn read_schema(&self) -> Result<Option<Schema>, StoreError> {
        let mut cmd = redis::Cmd::new();
        cmd.arg("HMGET").arg(SCHEMA).arg("version").arg("shards").arg("store_id");
        let found: (Option<u32>, Option<u16>, Option<String>) = self.command(&cmd).await?;
        Ok(match found {
            (Some(version), Some(shards), Some(store_id)) => Some(Schema { version, shards, store_id }),
            _ => None,
        })
    }

    /// Brings the store to this release's version, shard by shard; returns what it is then.
    pub async fn migrate(&self) -> Result<Schema, StoreError> {
        let schema = self.create_schema().await?;
        if schema.version > SCHEMA_VERSION {
            return Ok(schema);
        }
        let version = SCHEMA_VERSION.to_string();
        let args: [&[u8]; 2] = [b"schema", version.as_bytes()];
        for shard in 0..schema.shards {
            self.call::<u32>(&script::SCHEMA_STEP, &[&Shard(shard).shard()], &args).await?;
        }
        let args: [&[u8]; 2] = [b"version", version.as_bytes()];
        self.call::<u32>(&script::SCHEMA_STEP, &[SCHEMA], &args).await?;
        self.create_schema().await
    }
}
