-- Somebody is interested, or changes the time to live.
-- KEYS[1] hash    gr:{shard}:dispatch:<tenant>:<room>:<agent>
-- KEYS[2] hash    gr:{shard}:people:<tenant>:<room>
-- KEYS[3] zset    gr:{shard}:due:provider
-- KEYS[4] zset    gr:{shard}:due:beat
-- KEYS[5] zset    gr:{shard}:due:store
-- KEYS[6] zset    gr:{shard}:index:<tenant>:dispatches
-- KEYS[7] stream  gr:{shard}:events
-- KEYS[8] hash    gr:{shard}:shard
-- KEYS[9] hash    gr:{shard}:once:<digest>   (only where the caller sent an Idempotency-Key)
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] id the dispatch must have
-- ARGV[3] activity | arm | cancel   ARGV[4] ttl s (for arm)
-- ARGV[5] digest of the request (see idempotency.lua)
-- Returns: {now, people, {field, value, …}, <tenant>:<room>:<agent>}
-- Errors: NOT_FOUND, ENDING, KEY_REUSED
local now = clock(ARGV[1])
local once = { key = KEYS[9], body = ARGV[5] }
local before = replay(once)
if before then
  return before
end
local d = load(KEYS)
if not d or d.id ~= ARGV[2] then
  return refuse('NOT_FOUND', 'no such dispatch')
end
if d.state == 'ending' or d.state == 'failed' then
  return refuse('ENDING', 'the dispatch is ending')
end
local people = redis.call('HLEN', KEYS[2])
if ARGV[3] == 'cancel' then
  d.ttl_expires_at = nil
else
  if ARGV[3] == 'arm' then
    -- Who sets it wants this one: it no longer adapts.
    d.ttl_seconds, d.ttl_seconds_min, d.ttl_seconds_max = ARGV[4], nil, nil
  end
  if ARGV[3] == 'arm' or d.ttl_expires_at then
    arm(d, now)
  end
end
d.last_activity_at = now
save(KEYS, d, now, people)
local _, name = split_key(KEYS)
return keep(once, { now, people, flatten(d), name })
