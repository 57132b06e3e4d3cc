-- Has nobody told that a rule is raised for a while, or takes that back.
-- KEYS[1] hash    gr:{0}:alert:<rule>
-- KEYS[2] stream  gr:{0}:events
-- KEYS[3] hash    gr:{0}:once:<digest>   (only where the caller sent an Idempotency-Key)
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] rule   ARGV[3] for how long ms; 0 takes it back   ARGV[4] who asks
-- ARGV[5] digest of the request (see idempotency.lua)
-- Returns: {until when ms}
-- Errors: KEY_REUSED
local now, length = clock(ARGV[1]), tonumber(ARGV[3])
local once = { key = KEYS[3], body = ARGV[5] }
local before = replay(once)
if before then
  return before
end
local alert = read_hash(KEYS[1])
redis.call('XLEN', KEYS[2])
if length == 0 and not alert.snoozed_until then
  return keep(once, { '' })
end
if length == 0 then
  redis.call('HDEL', KEYS[1], 'snoozed_until')
else
  redis.call('HSET', KEYS[1], 'snoozed_until', now + length)
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 10000, '*', 'at', now, 'alert', ARGV[2],
  'state', length == 0 and 'woken' or 'snoozed', 'reason', 'asked', 'by', ARGV[4])
return keep(once, { length == 0 and '' or tostring(now + length) })
