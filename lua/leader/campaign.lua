-- Makes the caller leader where there is none, and renews it where it is one.
-- KEYS[1] hash    gr:leader
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] owner   ARGV[3] lease ms
-- Flags: allow-oom
-- Returns: {1 if the caller leads, term, owner, lease left ms}
-- Errors: none
local now = clock(ARGV[1])
local leader = read_hash(KEYS[1])
local held = leader.owner and now < tonumber(leader.lease_until)
if held and leader.owner ~= ARGV[2] then
  return { 0, tonumber(leader.term), leader.owner, tonumber(leader.lease_until) - now }
end
local term = held and tonumber(leader.term) or next_token(leader.term, now)
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'term', term, 'lease_until', now + tonumber(ARGV[3]))
return { 1, term, ARGV[2], tonumber(ARGV[3]) }
