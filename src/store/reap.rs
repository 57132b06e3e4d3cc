//! The scripts that find what is due.

use std::collections::HashMap;
use std::time::Duration;

use super::keys::Shard;
use super::{Record, Store, StoreError, script};

/// What is to be done for a dispatch that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueKind {
    /// Its maker was lost, or failed: make it.
    Create,
    /// Look at the provider, and judge.
    Check,
    /// Delete it at the provider, and forget it.
    End,
}

/// A dispatch that is due, claimed by the caller.
#[derive(Debug, Clone)]
pub struct Due {
    /// What to do.
    pub kind: DueKind,
    /// The dispatch.
    pub record: Record,
    /// How late it is, in milliseconds.
    pub late_ms: u64,
}

type RawDue = (String, String, u64, u64, HashMap<String, String>, String);

/// What a scan of a shard's heartbeats found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// How many agents fell silent.
    pub silent: u64,
    /// How many would have, all at once, and get one more period: told once.
    pub braked: u64,
}

impl Store {
    /// How many dispatches are looked after, and how many agents report, in all shards.
    pub async fn census(&self) -> Result<(u64, u64), StoreError> {
        let (mut live, mut reporting) = (0, 0);
        for shard in (0..self.shards()).map(Shard) {
            for (key, count) in [(shard.due_provider(), &mut live), (shard.due_beat(), &mut reporting)] {
                let mut cmd = redis::Cmd::new();
                cmd.arg("ZCARD").arg(key);
                *count += self.command::<u64>(&cmd).await?;
            }
        }
        Ok((live, reporting))
    }

    /// Claims what is due at the provider in a shard.
    pub async fn reap_provider(
        &self,
        shard: Shard,
        term: u64,
        limit: usize,
        claim: Duration,
    ) -> Result<Vec<Due>, StoreError> {
        let args = [
            self.inner.clock.argument(),
            shard.prefix(),
            term.to_string(),
            limit.to_string(),
            claim.as_millis().to_string(),
        ];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let raw: Vec<RawDue> =
            self.call(&script::REAP_PROVIDER, &[&shard.shard(), &shard.due_provider()], &args).await?;
        let read = |(kind, name, now, people, fields, due_at): RawDue| -> Result<Due, StoreError> {
            let kind = match kind.as_str() {
                "create" => DueKind::Create,
                "check" => DueKind::Check,
                "end" => DueKind::End,
                other => return Err(StoreError::nonsense(format!("kind {other}"))),
            };
            let due_at: f64 = due_at.parse().map_err(|_| StoreError::nonsense("a score"))?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a time in milliseconds, kept by us"
            )]
            let late_ms = now.saturating_sub(due_at as u64);
            Ok(Due { kind, record: Record::parse(&name, now, people, fields)?, late_ms })
        };
        // One that cannot be read (of a newer release, say) holds none of the others up.
        let due = raw.into_iter().map(read).filter_map(|due| {
            due.inspect_err(|error| tracing::error!(%error, "a dispatch that is due cannot be read")).ok()
        });
        Ok(due.collect())
    }

    /// Marks the agents that fell silent in a shard.
    pub async fn reap_beat(
        &self,
        shard: Shard,
        term: u64,
        limit: usize,
        believed: Duration,
    ) -> Result<Silence, StoreError> {
        let args = [
            self.inner.clock.argument(),
            shard.prefix(),
            term.to_string(),
            limit.to_string(),
            believed.as_millis().to_string(),
        ];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let (silent, _grace_ms, braked): (u64, u64, u64) =
            self.call(&script::REAP_BEAT, &[&shard.shard(), &shard.due_beat()], &args).await?;
        Ok(Silence { silent, braked })
    }

    /// Forgets what has only to be forgotten in a shard; returns how many.
    pub async fn reap_store(&self, shard: Shard, term: u64, limit: usize) -> Result<u64, StoreError> {
        let args = [self.inner.clock.argument(), shard.prefix(), term.to_string(), limit.to_string()];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        self.call(&script::REAP_STORE, &[&shard.shard(), &shard.due_store()], &args).await
    }
}
