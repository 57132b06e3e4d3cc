-- Closes a breaker as if it were new: what was counted and what was forced is forgotten, its history is not.
-- KEYS[1] hash    gr:{shard}:breaker:<tenant>:<name>
-- KEYS[2] zset    gr:{shard}:index:<tenant>:breakers
-- KEYS[3] stream  gr:{shard}:events
-- KEYS[4] hash    gr:{shard}:shard
-- KEYS[5] hash    gr:{shard}:once:<digest>; left out without an `Idempotency-Key`
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] rules as `name number …` (empty: as they are)
-- ARGV[3] what the request asks, as a digest
-- Flags: allow-oom
-- Returns: {now, {field, value, …}}
-- Errors: NOT_FOUND, KEY_REUSED
local once = { key = KEYS[5], body = ARGV[3] }
local said = replay(once)
if said then
  return said
end
local now = clock(ARGV[1])
local b = load_breaker(KEYS, now, ARGV[2])
if not b then
  return refuse('NOT_FOUND', 'no such breaker')
end
b.forced, b.forced_until, b.note, b.doublings = nil, nil, nil, 0
b.calls, b.failures, b.slow, b.refused, b.opened = 0, 0, 0, 0, 0
move_breaker(b, now, 'closed', 'reset')
save_breaker(KEYS, b)
local _, flat = read_hash(KEYS[1])
return keep(once, { now, flat })
