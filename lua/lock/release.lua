-- Gives the lock back, so that nobody need wait for its lease to end. The token stays: the next one is higher.
-- KEYS[1] hash    gr:{shard}:lock:<tenant>:<name>, gr:{0}:leader
-- ARGV[1] owner   ARGV[2] token, or empty for whichever it is
-- Flags: allow-oom
-- Returns: 1 if the caller had it, 0 if nobody has it
-- Errors: NOT_OWNER
local lock = read_hash(KEYS[1])
if not lock.owner then
  return 0
elseif lock.owner ~= ARGV[1] or (ARGV[2] ~= '' and lock.token ~= ARGV[2]) then
  return refuse('NOT_OWNER', 'the lock is not yours')
end
redis.call('HDEL', KEYS[1], 'owner', 'acquired_at', 'lease_until')
local prefix, name = KEYS[1]:match('^(gr:{%d+}:)(.*)$')
redis.call('PUBLISH', prefix .. 'hints', name)
return 1
