-- Who asked for a worker asks how that stands, which shows that it is still there; takes what it was offered.
-- KEYS[1] hash    gr:{shard}:pool:<tenant>:<pool>
-- KEYS[2] hash    gr:{shard}:once:<digest>; left out without an `Idempotency-Key`
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] `<tenant>:<pool>`   ARGV[3] lease
-- ARGV[4] 1 where the lease was there before it was asked for, else 0
-- ARGV[5] digest of the request, ARGV[6] its attempt (see idempotency.lua)
-- Builds: the pool's sets, its workers, leases and sessions (see shared.lua)
-- Returns: {verdict, now, lease as field, value, …}; verdict is held, offered, waiting, or none where it is over
-- Errors: KEY_REUSED, UNDER_WAY
local now = clock(ARGV[1])
local once = { key = KEYS[2], body = ARGV[5], attempt = ARGV[6] }
local said = replay(once)
if said then
  return said
end
local p, l = load_pool(ARGV[2]), lease_of(ARGV[3])
if not p or not l or l.pool_key ~= p.key then
  return { 'none', now, {} }
end
serve(p, now)
local w = l.state == 'waiting' and l.bound_to and worker_for(p, l, now)
if w then
  grant(p, w, l, now)
end
if l.state == 'offered' and l.taken then
  hold(l, now)
elseif l.state == 'idle' or l.state == 'held' and tonumber(l.until_at) <= now then
  ask_again(p, l, now, l.lease_ms)
end
local refused = take_up(once, now, ARGV[3])
if refused then
  return refused
end
save_all(now)
local answer = answer_of(l, now, ARGV[4] == '1')
return answer[1] == 'held' and keep(once, answer) or answer
