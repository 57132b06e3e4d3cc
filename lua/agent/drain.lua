-- Drains an agent, or takes that back: while it drains, no new dispatch of it is made.
-- KEYS[1] hash    gr:{shard}:draining:<tenant>
-- KEYS[2] stream  gr:{shard}:events
-- KEYS[3] hash    gr:{shard}:once:<digest>   (only where the caller sent an Idempotency-Key)
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] tenant   ARGV[3] agent   ARGV[4] 1 drains, 0 takes it back
-- ARGV[5] digest of the request (see idempotency.lua)
-- Returns: {since when it drains ms, or '' where it does not}
-- Errors: KEY_REUSED
local now, drains = clock(ARGV[1]), ARGV[4] == '1'
local once = { key = KEYS[3], body = ARGV[5] }
local before = replay(once)
if before then
  return before
end
local since = redis.call('HGET', KEYS[1], ARGV[3])
redis.call('XLEN', KEYS[2])
if drains == (since ~= false) then
  return keep(once, { since or '' })
end
if drains then
  redis.call('HSET', KEYS[1], ARGV[3], now)
else
  redis.call('HDEL', KEYS[1], ARGV[3])
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 10000, '*', 'at', now, 'tenant', ARGV[2], 'agent', ARGV[3],
  'reason', drains and 'agent_drained' or 'agent_undrained')
return keep(once, { drains and tostring(now) or '' })
