-- The maker of a claim is still at work on it.
-- KEYS[1] hash    gr:{shard}:dispatch:<tenant>:<room>:<agent>
-- KEYS[2] zset    gr:{shard}:due:provider
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] token of the claim   ARGV[3] claim ms
-- Flags: allow-oom
-- Returns: 1
-- Errors: NOT_OWNER
local now = clock(ARGV[1])
local claimed = redis.call('HMGET', KEYS[1], 'claim', 'token')
if not claimed[1] or claimed[2] ~= ARGV[2] then
  return refuse('NOT_OWNER', 'the claim is over')
end
local claim_until = now + tonumber(ARGV[3])
local _, name = split_key(KEYS)
redis.call('ZADD', KEYS[2], claim_until, 'dispatch:' .. name)
redis.call('HSET', KEYS[1], 'claim_until', claim_until)
return 1
