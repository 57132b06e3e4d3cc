-- Raises the floor of a shard's tokens: after a break no token that a replica has seen is given again.
-- KEYS[1] hash    gr:{shard}:shard
-- ARGV[1] the highest token that the caller has seen
-- Returns: the floor
-- Errors: none
local floor = math.max(tonumber(redis.call('HGET', KEYS[1], 'token_floor')) or 0, tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'token_floor', floor)
return floor
