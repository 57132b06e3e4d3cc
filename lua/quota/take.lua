-- Takes a place in the bounds on live dispatches, for one that is to be made.
-- KEYS[1] zset    gr:{shard}:quota:<tenant>
-- KEYS[2] zset    gr:{shard}:quota:<tenant>:<agent>
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] <room>:<agent>
-- ARGV[3] how many of the tenant at most, ARGV[4] how many of the agent at most (0: as many as there are)
-- Returns: {verdict, now}; verdict is ok | tenant, agent (which bound is reached: nothing was changed)
-- Errors: none
local now, bounds = clock(ARGV[1]), { tenant = tonumber(ARGV[3]), agent = tonumber(ARGV[4]) }
local function is_full(key, bound)
  return bound > 0 and redis.call('ZCARD', key) >= bound and not redis.call('ZSCORE', key, ARGV[2])
end
if is_full(KEYS[1], bounds.tenant) then
  return { 'tenant', now }
elseif is_full(KEYS[2], bounds.agent) then
  return { 'agent', now }
end
redis.call('ZADD', KEYS[1], now, ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[2])
return { 'ok', now }
