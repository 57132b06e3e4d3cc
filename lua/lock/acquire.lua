-- Gives the lock to the caller where nobody has it, and keeps it for who has it already.
-- KEYS[1] hash    gr:{shard}:lock:<tenant>:<name>, gr:{0}:leader
-- KEYS[2] hash    gr:{shard}:shard
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] owner   ARGV[3] lease ms
-- Flags: allow-oom
-- Returns: {1 if the caller has it, token, owner, since ms, until ms, lease left ms}
-- Errors: none
local now, lease_ms = clock(ARGV[1]), tonumber(ARGV[3])
local lock = read_hash(KEYS[1])
local held = is_held(lock, now)
if held and lock.owner ~= ARGV[2] then
  return told(false, lock, now)
end
local floor = tonumber(redis.call('HGET', KEYS[2], 'token_floor')) or 0
if not held then
  lock.owner, lock.acquired_at = ARGV[2], now
  lock.token = next_token(math.max(tonumber(lock.token) or 0, floor), now)
end
lock.lease_until = now + lease_ms
redis.call('HSET', KEYS[1], 'owner', lock.owner, 'token', lock.token, 'lease_until', lock.lease_until,
  'acquired_at', lock.acquired_at or lock.token)
outlive(KEYS[1], lease_ms)
return told(true, lock, now)
