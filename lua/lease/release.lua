-- The session is over: its worker is reset, or goes; a keyed one stays with its worker, idle. Who waits gives up the
-- same way. A lease that is not there counts as given back.
-- KEYS[1] hash    gr:{shard}:lease:<lease>
-- KEYS[2] hash    gr:{shard}:once:<digest>; left out without an `Idempotency-Key`
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] lease   ARGV[3] token (empty: for who waits)
-- ARGV[4] `<tenant>:` of the caller   ARGV[5] digest of the request
-- Builds: the pool's sets, its workers, leases and sessions (see shared.lua)
-- Flags: allow-oom
-- Returns: 1 if there was one, else 0
-- Errors: NOT_OWNER, KEY_REUSED
local once = { key = KEYS[2], body = ARGV[5] }
local said = replay(once)
if said then
  return said
end
local now, l = clock(ARGV[1]), lease_of(ARGV[2])
local is_own = l and l.pool_key:sub(1, #ARGV[4]) == ARGV[4]
if not is_own then
  return keep(once, 0)
elseif (ARGV[3] ~= '' or l.until_at) and l.token ~= ARGV[3] then
  return refuse('NOT_OWNER', 'the lease is not yours')
end
let_go(load_pool(l.pool_key), l, 'released', now)
save_all(now)
return keep(once, 1)
