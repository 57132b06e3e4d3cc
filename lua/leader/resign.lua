-- The leader steps down, so that another need not wait for its lease to end.
-- KEYS[1] hash    gr:leader
-- ARGV[1] owner
-- Flags: allow-oom
-- Returns: 1 if it was the leader
-- Errors: none
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then
  return 0
end
redis.call('HDEL', KEYS[1], 'owner', 'lease_until')
return 1
