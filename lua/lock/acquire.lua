-- Gives the lock to the caller where nobody has it, and keeps it for who has it already.
-- KEYS[1] hash    gr:{shard}:lock:<tenant>:<name>, gr:{0}:leader
-- KEYS[2] hash    gr:{shard}:shard
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] owner   ARGV[3] lease ms
-- Flags: allow-oom
-- Returns: {1 if the caller has it, token, owner, lease left ms}
-- Errors: none
local now, lease_ms = clock(ARGV[1]), tonumber(ARGV[3])
local lock = read_hash(KEYS[1])
local held = lock.owner and now < lease_of(lock)
if held and lock.owner ~= ARGV[2] then
  return { 0, tonumber(lock.token), lock.owner, lease_of(lock) - now }
end
local floor = tonumber(redis.call('HGET', KEYS[2], 'token_floor')) or 0
local token = held and tonumber(lock.token) or next_token(math.max(tonumber(lock.token) or 0, floor), now)
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'token', token, 'lease_until', now + lease_ms)
outlive(KEYS[1], lease_ms)
return { 1, token, ARGV[2], lease_ms }
