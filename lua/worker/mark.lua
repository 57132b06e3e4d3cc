-- Somebody says what is to become of a worker: it gets no new sessions, gets them again, or goes.
-- KEYS[1] hash    gr:{shard}:worker:<worker>
-- KEYS[2] hash    gr:{shard}:once:<digest>; left out without an `Idempotency-Key`
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] worker   ARGV[3] `<tenant>:` of the caller
-- ARGV[4] cordon, uncordon, drain (it goes once its session is over), recycle (it goes now where it serves nobody)
-- ARGV[5] digest of the request
-- Builds: the pool's sets, its workers and leases (see pool/shared.lua)
-- Returns: {now, worker as field, value, …}
-- Errors: NOT_FOUND, KEY_REUSED
local once = { key = KEYS[2], body = ARGV[5] }
local said = replay(once)
if said then
  return said
end
local now, w = clock(ARGV[1]), worker_of(ARGV[2])
local p = w and w.state ~= 'terminated' and w.pool_key:sub(1, #ARGV[3]) == ARGV[3] and load_pool(w.pool_key)
if not p then
  return refuse('NOT_FOUND', 'no such worker')
end
local goes = ARGV[4] == 'drain' and 'drained' or ARGV[4] == 'recycle' and 'recycled'
if not goes then
  w.cordoned = ARGV[4] == 'cordon' and '1' or nil
elseif w.state == 'busy' or w.state == 'resetting' then
  w.cordoned = 'drain'
  local l = w.lease and lease_of(w.lease)
  if l and l.state == 'idle' then
    give_up(p, l, goes, now)
  end
elseif w.state ~= 'terminating' then
  dismiss(p, w, goes, now)
end
serve(p, now)
save_all(now)
return keep(once, { now, flatten(w) })
