//! Looks into Redis all the time: each dispatch and the pool whenever they differ, each event, the leader's term.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::streams::StreamRangeReply;
use tokio_util::sync::CancellationToken;

use super::history::{Event, History, Sample};
use super::pool;
use super::rig::Rig;
use crate::support::pool_state::{DUMP, State};

const INTERVAL: Duration = Duration::from_millis(40);
/// So many looks are one at the pool: all of it is read at once.
const LOOKS_A_POOL: usize = 3;
const SHARDS: u16 = 4;

/// Watches until it is over.
pub(crate) async fn watch(rig: Arc<Rig>, history: Arc<History>, over: CancellationToken) {
    let mut watcher = Watcher {
        history,
        known: HashMap::new(),
        looks: 0,
        pool: None,
        read_up_to: vec!["0-0".to_owned(); usize::from(SHARDS)],
    };
    let mut connection = None;
    loop {
        let last = over.is_cancelled();
        if connection.is_none() {
            connection = rig.redis_client.get_multiplexed_async_connection().await.ok();
        }
        if let Some(open) = &mut connection {
            let looked = tokio::time::timeout(Duration::from_secs(1), watcher.look(open)).await;
            if !matches!(looked, Ok(Ok(()))) {
                connection = None;
            }
        }
        if last {
            return;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

struct Watcher {
    history: Arc<History>,
    known: HashMap<String, HashMap<String, String>>,
    looks: usize,
    /// All of the pool.
    pool: Option<String>,
    /// The last event of each shard.
    read_up_to: Vec<String>,
}

impl Watcher {
    async fn look(&mut self, redis: &mut MultiplexedConnection) -> redis::RedisResult<()> {
        let mut keys: Vec<String> = redis::cmd("KEYS").arg("gr:*:dispatch:*").query_async(redis).await?;
        keys.extend(self.known.keys().filter(|key| !keys.contains(key)).cloned().collect::<Vec<_>>());
        let mut at_once = redis::pipe();
        at_once.atomic().cmd("TIME").cmd("HGET").arg("gr:leader").arg("term");
        let (time, term): ((u64, u64), Option<u64>) = at_once.query_async(redis).await?;
        let redis_ms = time.0 * 1000 + time.1 / 1000;
        if let Some(term) = term {
            self.history.terms.add((self.history.now(), term));
        }
        for key in keys {
            let mut at_once = redis::pipe();
            at_once.atomic().cmd("HGETALL").arg(&key).cmd("TIME");
            let (fields, time): (HashMap<String, String>, (u64, u64)) = at_once.query_async(redis).await?;
            let redis_ms = redis_ms.max(time.0 * 1000 + time.1 / 1000);
            if self.known.get(&key) != Some(&fields) {
                let sample = Sample { at: self.history.now(), redis_ms, key: key.clone(), fields: fields.clone() };
                self.history.samples.add(sample);
                self.known.insert(key, fields);
            }
        }
        self.looks += 1;
        if self.looks.is_multiple_of(LOOKS_A_POOL) {
            self.look_at_pool(redis, redis_ms).await?;
        }
        for shard in 0..SHARDS {
            let read_up_to = &mut self.read_up_to[usize::from(shard)];
            let mut range = redis::cmd("XRANGE");
            range.arg(format!("gr:{{{shard}}}:events")).arg(format!("({read_up_to}")).arg("+");
            let reply: StreamRangeReply = range.query_async(redis).await?;
            for entry in reply.ids {
                let text = |value| redis::from_redis_value::<String>(value).ok();
                let fields = entry.map.into_iter().filter_map(|(name, value)| Some((name, text(value)?)));
                let fields: HashMap<_, _> = fields.collect();
                let ms = fields.get("at").and_then(|at| at.parse().ok()).unwrap_or_default();
                self.history.events.add(Event { at: self.history.of_wall(ms), fields });
                *read_up_to = entry.id;
            }
        }
        Ok(())
    }

    async fn look_at_pool(&mut self, redis: &mut MultiplexedConnection, redis_ms: u64) -> redis::RedisResult<()> {
        let mut dump = redis::cmd("EVAL");
        dump.arg(DUMP).arg(0).arg(format!("gr:{{{}}}:*", pool::shard(SHARDS)));
        let dump: String = dump.query_async(redis).await?;
        if self.pool.as_ref() != Some(&dump) {
            self.history.pools.add((self.history.now(), State::of(&dump, redis_ms)));
            self.pool = Some(dump);
        }
        Ok(())
    }
}
