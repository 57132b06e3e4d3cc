-- Holds a breaker in a state, or lets it go again. Said twice, it is in that state.
-- KEYS[1] hash    gr:{shard}:breaker:<tenant>:<name>
-- KEYS[2] zset    gr:{shard}:index:<tenant>:breakers
-- KEYS[3] stream  gr:{shard}:events
-- KEYS[4] hash    gr:{shard}:shard
-- KEYS[5] hash    gr:{shard}:once:<digest>; left out without an `Idempotency-Key`
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] rules as `name number …` (empty: as they are)
-- ARGV[3] open | closed | disabled | auto   ARGV[4] for how long ms (empty: until it is let go)   ARGV[5] why, in words
-- ARGV[6] what the request asks, as a digest
-- Flags: allow-oom
-- Returns: {now, {field, value, …}}
-- Errors: NOT_FOUND, KEY_REUSED
local once = { key = KEYS[5], body = ARGV[6] }
local said = replay(once)
if said then
  return said
end
local now = clock(ARGV[1])
local b = load_breaker(KEYS, now, ARGV[2])
if not b then
  return refuse('NOT_FOUND', 'no such breaker')
end
settle_breaker(b, now)
if ARGV[3] == 'auto' then
  if b.forced then
    release_breaker(b, now, 'released')
  end
else
  b.forced, b.note = ARGV[3], ARGV[5] ~= '' and ARGV[5] or nil
  b.forced_until = ARGV[4] ~= '' and now + tonumber(ARGV[4]) or nil
  move_breaker(b, now, ARGV[3] == 'open' and 'open' or 'closed', 'forced_' .. ARGV[3])
  b.open_until = nil
end
save_breaker(KEYS, b)
local _, flat = read_hash(KEYS[1])
return keep(once, { now, flat })
