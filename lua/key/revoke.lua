-- Revokes an API key: it opens nothing from now on. A second time changes nothing.
-- KEYS[1] hash    gr:{shard}:apikey:<id>
-- KEYS[2] stream  gr:{shard}:events
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] id   ARGV[3] who revokes it
-- Flags: allow-oom
-- Returns: {now, field, value, …}
-- Errors: NOT_FOUND
local now = clock(ARGV[1])
local key, flat = load_key(KEYS[1], KEYS[2])
if not key then
  return refuse('NOT_FOUND', 'no such key')
end
if key.revoked_at then
  return { now, flat }
end
redis.call('HSET', KEYS[1], 'revoked_at', now, 'revoked_by', ARGV[3])
-- Remembered for a while from now on, and no longer than before.
local left = redis.call('TTL', KEYS[1])
if left < 0 or left > REMEMBERED_SECONDS then
  redis.call('EXPIRE', KEYS[1], REMEMBERED_SECONDS)
end
add_key_event(KEYS[2], ARGV[2], key.tenant, now, 'revoked', ARGV[3])
local _, after = read_hash(KEYS[1])
return { now, after }
