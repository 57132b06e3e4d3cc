//! A fail-over of Redis: it goes on as an older copy of itself, with a clock that may be behind.

use super::resp::Redis;

/// What was written of locks and breakers up to some moment.
pub(super) struct Copy(Vec<(String, Vec<String>)>);

impl Copy {
    pub(super) fn of(redis: &mut Redis) -> Self {
        let keys = keys(redis);
        Self(keys.into_iter().map(|key| (key.clone(), redis.strings(&["HGETALL", &key]))).collect())
    }

    pub(super) fn put_back(&self, redis: &mut Redis) {
        for key in keys(redis) {
            redis.call(&["DEL", &key]);
        }
        for (key, fields) in &self.0 {
            let words: Vec<&str> = ["HSET", key].into_iter().chain(fields.iter().map(String::as_str)).collect();
            redis.call(&words);
        }
    }
}

fn keys(redis: &mut Redis) -> Vec<String> {
    let mut keys = redis.strings(&["KEYS", "gr:*"]);
    keys.retain(|key| key.contains("}:lock:") || key.contains("}:breaker:") || key.ends_with("}:shard"));
    keys.sort();
    keys
}
