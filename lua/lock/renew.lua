-- Who has the lock keeps it for longer. A lease that is over is not renewed: somebody may have had it since.
-- KEYS[1] hash    gr:{shard}:lock:<tenant>:<name>
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] owner   ARGV[3] token   ARGV[4] lease ms
-- Flags: allow-oom
-- Returns: {1, token, owner, since ms, until ms, lease left ms}
-- Errors: NOT_OWNER
local now, lease_ms = clock(ARGV[1]), tonumber(ARGV[4])
local lock = read_hash(KEYS[1])
if lock.owner ~= ARGV[2] or lock.token ~= ARGV[3] or not is_held(lock, now) then
  return refuse('NOT_OWNER', 'the lock is not yours')
end
lock.lease_until = now + lease_ms
redis.call('HSET', KEYS[1], 'lease_until', lock.lease_until)
outlive(KEYS[1], lease_ms)
return told(true, lock, now)
