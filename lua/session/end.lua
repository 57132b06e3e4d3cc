-- Ends a session, whoever holds it: its worker is reset, or goes. One that waits leaves the line. One that is not there
-- counts as ended.
-- KEYS[1] hash    gr:{shard}:session:<tenant>:<pool>:<session>
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] `<tenant>:<pool>`
-- Builds: the pool's sets, its workers, leases and sessions (see pool/shared.lua)
-- Flags: allow-oom
-- Returns: 1 if there was one, else 0
-- Errors: none
local now, id = clock(ARGV[1]), redis.call('HGET', KEYS[1], 'lease')
local p, l = load_pool(ARGV[2]), id and lease_of(id)
if not l then
  return 0
end
give_up(p, l, 'released', now)
save_all(now)
return 1
