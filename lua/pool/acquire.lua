-- A session asks for a worker: one that is spare, or a place in line.
-- KEYS[1] hash    gr:{shard}:pool:<tenant>:<pool>
-- KEYS[2] string  gr:{shard}:assignment:<lease>
-- KEYS[3] hash    gr:{shard}:once:<digest>; left out without an `Idempotency-Key`
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] `<tenant>:<pool>`   ARGV[3] id for a new lease
-- ARGV[4] the session's name, encoded, or key:<key> (empty: it has none)   ARGV[5] lease ms (empty: as the pool has it)
-- ARGV[6] how long it may wait ms
-- ARGV[7] how much earlier its place is than its time, ms   ARGV[8] assignment   ARGV[9] affinity: hint, queue, fail
-- ARGV[10] digest of the request, ARGV[11] its attempt (see idempotency.lua)
-- Builds: the pool's sets, its workers, leases and sessions (see shared.lua)
-- Returns: {verdict, now, lease as field, value, …}; verdict is held (has its worker), offered (its worker is to take
--   it: confirm), waiting (in line: confirm), none (no worker, and it may not wait)
-- Errors: NOT_FOUND (no such pool), ENDING (it is drained), TOO_MANY (the line is full), NOT_OWNER (affinity `fail`:
--   the worker of the session is busy), IN_USE (as many keyed sessions are in use as may), KEY_REUSED, UNDER_WAY
local now, id, session = clock(ARGV[1]), ARGV[3], ARGV[4] ~= '' and ARGV[4] or nil
local once = { key = KEYS[3], body = ARGV[10], attempt = ARGV[11] }
local said = replay(once)
if said then
  return said
end
local p = load_pool(ARGV[2])
if not p then
  return refuse('NOT_FOUND', 'no such pool')
elseif p.draining == '1' then
  return refuse('ENDING', 'the pool is drained')
end
local lease_ms = ARGV[5] ~= '' and ARGV[5] or p.lease_ms
local known = session and read_hash(session_key(p.key, session)) or {}
local l = known.lease and lease_of(known.lease)
local is_rebound = l and rebind(p, l, now)
l = not is_rebound and l or lease_of(id)
local is_new = not l
if l then
  ask_again(p, l, now, lease_ms, ARGV[6])
else
  redis.call('STRLEN', KEYS[2])
  l = leases[id].now
  l.id, l.pool_key, l.session, l.state = id, p.key, session, 'waiting'
  l.created_at, l.place, l.lease_ms = now, now - ARGV[7], lease_ms
  l.deadline, l.affinity_ms = now + ARGV[6], is_keyed(l) and 0 or p.affinity_ms
  l.due_at = l.deadline
  if is_keyed(l) and not is_rebound and not make_room(p, now) then
    return refuse('IN_USE', 'as many keyed sessions are in use as may')
  end
  local bound = known.worker and now < tonumber(known.until_at) and worker_of(known.worker)
  local w = is_spare(bound) and bound
  if bound and bound.state ~= 'terminated' then
    p[w and 'affinity_hits' or 'affinity_misses'] = rule(p, w and 'affinity_hits' or 'affinity_misses') + 1
    if not w and ARGV[9] == 'fail' then
      return refuse('NOT_OWNER', 'the worker of the session is busy')
    elseif not w and ARGV[9] == 'queue' then
      l.bound_to = known.worker
    end
  end
  -- Those in line come first. A worker that is spare after that is of no use to them.
  serve(p, now)
  w = is_spare(w) and w or worker_for(p, l, now)
  if w then
    grant(p, w, l, now)
  elseif ARGV[6] ~= '0' and redis.call('ZCARD', set_of(p, 'waiting')) >= rule(p, 'queue_max') then
    return refuse('TOO_MANY', 'the line is full')
  end
end
if l.state == 'waiting' and ARGV[6] == '0' then
  if is_new then
    leases[id].now = {}
  end
  save_all(now)
  return { 'none', now, {} }
end
if l.state == 'offered' and l.taken then
  hold(l, now)
end
local refused = take_up(once, now, id)
if refused then
  return refused
elseif is_new then
  redis.call('SET', KEYS[2], ARGV[8])
  note_arrival(p, now)
end
save_all(now)
local answer = answer_of(l, now, l.id ~= id)
return l.state == 'held' and keep(once, answer) or answer
