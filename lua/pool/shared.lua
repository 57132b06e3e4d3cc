-- Shared by the scripts of pools; prepended after the prelude.
--
-- A script reads with `load_pool`, `worker_of` and `lease_of`, changes the tables, and ends with `save_all`, which
-- writes what differs and moves each thing in the sets that follow from its state. So nothing is written before all is
-- read, and a set is never counted up or down. `p` is the pool: its fields, and `p.key`,
-- the part of a key that names it.

local WORKER_MEMORY_SECONDS = 3600
local PAST_MAX = 10
local EVENTS_MAX = 10000
-- How many waiting ones, or spare workers, one script looks at.
local LOOK_MAX = 32
-- How long a caller may take to come for what it was offered; it asks at least once a second.
local OFFER_MS = 2500
-- For how long waits are counted together.
local WAITS_MS = 300000

local prefix, pools, workers, leases, hints = KEYS[1]:match('^gr:{%d+}:'), {}, {}, {}, {}
-- The steps of workers, in their order.
local steps = {}
-- Which runners are believed to live, as far as it was asked.
local heard = {}
-- What is known of the runners of the workers that were read.
local runners = {}
-- How many workers of a pool come or go: as it was when it was asked, and those that are replaced since.
local moving = {}

local function load_once(cache, name, key)
  if cache[name] == nil then
    local hash = read_hash(key)
    cache[name] = { now = hash, before = copy_of(hash) }
  end
  return cache[name].now
end

-- A set of the pool: spare, waiting, unbound, leases, keyed, idle, workers, runners, or in:<state>.
local function set_of(p, name)
  return prefix .. 'pool:' .. p.key .. ':' .. name
end

-- Fails where one of a pool's sets is of another type: one call for all of them. It would count what they have in
-- common, and is done at once, for there is never anything in `in:none`.
local function check_types(of)
  local sets = { prefix .. 'due:pool', prefix .. 'due:lease' }
  for _, name in ipairs({ 'spare', 'waiting', 'unbound', 'leases', 'keyed', 'idle', 'workers', 'runners' }) do
    sets[#sets + 1] = of .. name
  end
  for state in pairs(TRANSITIONS) do
    sets[#sets + 1] = of .. 'in:' .. state
  end
  redis.call('ZINTERCARD', #sets, unpack(sets))
  redis.call('XLEN', prefix .. 'events')
  redis.call('HLEN', prefix .. 'shard')
end

-- The pool of that name (`<tenant>:<pool>`), or nil. Fails where one of its sets is of another type: before anything is
-- written.
local function load_pool(key)
  local known = pools[key] ~= nil
  local p = load_once(pools, key, prefix .. 'pool:' .. key)
  if not known then
    check_types(prefix .. 'pool:' .. key .. ':')
  end
  if not p.created_at then
    return nil
  end
  p.key = key
  return p
end

-- A number that the pool is to go by.
local function rule(p, name)
  return tonumber(p[name]) or 0
end

-- What the runner of a worker is called among hints and deadlines; its key, without the prefix.
local function runner_member(w)
  return 'runner:' .. w.pool_key .. ':' .. w.runner
end

local function is_heard(member, now)
  if heard[member] == nil then
    local until_at = redis.call('ZSCORE', prefix .. 'due:lease', member)
    heard[member] = until_at and tonumber(until_at) > now or false
  end
  return heard[member]
end

-- A runner: whether Redis has it, and `told`, the number of the last thing that it was told (see runner/shared.lua).
local function runner_of(member)
  if not runners[member] then
    redis.call('ZCARD', prefix .. member .. ':workers')
    local known = redis.call('HMGET', prefix .. member, 'boot', 'told')
    runners[member] = { is_known = known[1], told = tonumber(known[2]) or 0 }
  end
  return runners[member]
end

local function worker_of(id)
  local is_new = workers[id] == nil
  local w = load_once(workers, id, prefix .. 'worker:' .. id)
  if is_new and w.id then
    runner_of(runner_member(w))
  end
  return w.id and w or nil
end

-- A named session: its live lease, or the worker that it was with last.
local function session_key(pool_key, session)
  return prefix .. 'session:' .. pool_key .. ':' .. session
end

local function lease_of(id)
  local is_new = leases[id] == nil
  local l = load_once(leases, id, prefix .. 'lease:' .. id)
  if is_new and l.session then
    redis.call('HLEN', session_key(l.pool_key, l.session))
  end
  return l.id and l or nil
end

local function tell_waiter(l)
  hints['lease:' .. l.id] = true
end

-- The worker's runner is to hear of it, or where it is gone, of all that are left.
local function call_runner(w, now)
  local member = runner_member(w)
  local runner = runner_of(member)
  runner.next = runner.next or next_token(runner.told, now)
  runner.is_whole = runner.is_whole or w.state == 'terminated'
  w.told, hints[member] = runner.next, true
end

-- The worker's next token, which names what it is told to do.
local function instruct(w, instruction, now, within_ms)
  local floor = tonumber(redis.call('HGET', prefix .. 'shard', 'token_floor')) or 0
  w.token = next_token(math.max(tonumber(w.token) or 0, floor), now)
  w.instruction = instruction
  w.due_at = now + within_ms
  call_runner(w, now)
end

-- Whether a new session may have it.
local function is_spare(w)
  return w and w.state == 'ready' and not w.cordoned and w.health ~= 'unhealthy'
end

-- One step of the worker. One that the table does not have is a defect, and changes nothing.
local function move_worker(w, to, reason, now)
  if not may_move(w.state, to, reason) then
    error('no step from ' .. (w.state or 'none') .. ' to ' .. to .. ' for ' .. reason)
  end
  local n = (tonumber(w.transitions) or 0) + 1
  w.state, w.since, w.reason, w.transitions = to, now, reason, n
  steps[#steps + 1] = { id = w.id, pool_key = w.pool_key, state = to, reason = reason }
  w['past:' .. (n - 1) % PAST_MAX] = now .. ' ' .. to .. ' ' .. reason
  w.instruction, w.due_at = nil, nil
  if to == 'terminated' then
    call_runner(w, now)
  end
end

-- A worker that nothing is known of yet; `worker_of` was asked for it.
local function new_worker(p, id, runner, now, age_ms)
  local w = workers[id].now
  w.id, w.pool_key, w.runner, w.version = id, p.key, runner, p.version
  w.created_at, w.retire_at, w.sessions, w.failures, w.health = now, now + age_ms, 0, 0, 'unknown'
  runner_of(runner_member(w))
  return w
end

-- The worker is to go, by itself.
local function dismiss(p, w, reason, now)
  move_worker(w, 'terminating', reason, now)
  instruct(w, 'stop', now, rule(p, 'stop_ms'))
end

-- How often it recovered of late.
local function flaps_of(p, w, now)
  local count = 0
  for at in (w.recovered or ''):gmatch('%d+') do
    count = count + (now - at < rule(p, 'flap_ms') and 1 or 0)
  end
  return count
end

-- What the decision on a worker depends on (see recovery.lua).
local function context_of(p, w, now)
  if not moving[p.key] then
    local come, go = set_of(p, 'in:initializing'), set_of(p, 'in:terminating')
    moving[p.key] = redis.call('ZCARD', come) + redis.call('ZCARD', go)
  end
  local all = redis.call('ZCARD', set_of(p, 'workers'))
  return {
    leased = w.lease ~= nil, failures = tonumber(w.failures) or 0, failures_max = rule(p, 'failures_max'),
    flaps = flaps_of(p, w, now), flaps_max = rule(p, 'flaps_max'),
    moving = moving[p.key], moving_max = math.max(1, math.floor(all * rule(p, 'replaced_percent_max') / 100)),
    starts_failed = rule(p, 'starts_failed'), backing_off = now < rule(p, 'start_after'),
  }
end

-- What is to be done about a worker, and why. One that is replaced counts as going from here on.
local function decide(p, w, kind, now)
  local what, why = recovery(kind, REMEDIES[kind] and {} or context_of(p, w, now))
  if what == 'replace' then
    moving[p.key] = moving[p.key] + 1
  end
  return what, why
end

-- Why a worker that serves nobody had better be another, if so.
local function wear_of(p, w, now)
  local sessions = tonumber(w.sessions)
  return w.version ~= p.version and 'rolled_over'
    or (sessions >= rule(p, 'sessions_max') or now >= tonumber(w.retire_at)) and 'recycled'
    or w.memory_high and sessions > 0 and 'memory_high'
end

-- The lease is over. What the session held is forgotten, but which worker it was with.
local function end_lease(l, reason)
  l.state, l.reason = 'ended', reason
  tell_waiter(l)
end

-- The worker's session is over; it goes on once it has shown that nothing of the session is left. One that is worn
-- goes, unless its pool cannot spare it now.
local function free(p, w, reason, now)
  w.lease, w.session = nil, nil
  local worn = wear_of(p, w, now)
  local goes = p.reset_mode == 'fresh' or w.cordoned == 'drain'
  if goes or worn and decide(p, w, worn, now) == 'replace' then
    dismiss(p, w, reason, now)
  else
    move_worker(w, 'resetting', reason, now)
    instruct(w, 'reset', now, rule(p, 'reset_ms'))
  end
end

-- The session loses its worker. One that nobody was told of waits on, in its old place.
local function take_away(w)
  local l = w.lease and lease_of(w.lease)
  if l and l.state == 'offered' then
    l.state, l.due_at = 'waiting', l.deadline
    l.worker, l.endpoint, l.token, l.granted_at, l.taken = nil, nil, nil, nil, nil
  elseif l then
    end_lease(l, 'worker_lost')
  end
  w.lease, w.session = nil, nil
end

-- A session has its worker after so long: counted for some time, then anew.
local function note_wait(p, waited_ms, now)
  if now - rule(p, 'waits_at') >= WAITS_MS then
    p.waits_at, p.waits_served, p.waits, p.waits_ms, p.waits_ms_max = now, 0, 0, 0, 0
  end
  p.waits_served = p.waits_served + 1
  if waited_ms > 0 then
    p.waits, p.waits_ms = p.waits + 1, p.waits_ms + waited_ms
    p.waits_ms_max = math.max(p.waits_ms_max, waited_ms)
  end
end

local function grant(p, w, l, now)
  move_worker(w, 'busy', 'allocated', now)
  note_wait(p, now - l.created_at, now)
  p.sessions_total = rule(p, 'sessions_total') + 1
  if tonumber(w.sessions) > 0 then
    p.reused_total = rule(p, 'reused_total') + 1
  end
  w.lease, w.session, w.sessions = l.id, l.session or l.id, w.sessions + 1
  instruct(w, 'assign', now, rule(p, 'assign_ms'))
  l.state, l.worker, l.endpoint, l.token, l.granted_at = 'offered', w.id, w.endpoint, w.token, now
  l.taken = p.confirm == '0' and '1' or nil
  l.due_at = now + rule(p, 'assign_ms') + OFFER_MS
  tell_waiter(l)
end

-- The first of the members for which `find` finds something.
local function first_of(members, find)
  for _, member in ipairs(members) do
    local found = find(member)
    if found then
      return found
    end
  end
end

-- A worker whose runner is heard of; the one that has been spare for longest, so that all are used alike. Where those
-- that are looked at are of silent runners, any others are: a host that fell silent hides none for long.
local function next_spare(p, now)
  for _, w in pairs(workers) do
    if not is_spare(w.before) and is_spare(w.now) and w.now.pool_key == p.key then
      return w.now
    end
  end
  local function find(id)
    local w = worker_of(id)
    return is_spare(w) and is_heard(runner_member(w), now) and w
  end
  local set = set_of(p, 'spare')
  local longest = redis.call('ZRANGE', set, 0, LOOK_MAX - 1)
  return first_of(longest, find) or #longest == LOOK_MAX and first_of(redis.call('ZRANDMEMBER', set, LOOK_MAX), find)
end

-- A worker for who waits: whichever is spare, or the one that the session is bound to while that lives.
local function worker_for(p, l, now)
  local bound = l.bound_to and worker_of(l.bound_to)
  if bound and bound.state ~= 'terminated' and bound.state ~= 'terminating' then
    return is_spare(bound) and bound
  end
  l.bound_to = nil
  return next_spare(p, now)
end

-- The first in line, with those whose worker was taken away just now: they are back in their old places.
local function first_in_line(p, set)
  local line, are_back = redis.call('ZRANGE', set_of(p, set), 0, LOOK_MAX - 1), false
  for id, l in pairs(leases) do
    if l.before.state == 'offered' and l.now.state == 'waiting' and l.now.pool_key == p.key then
      line[#line + 1], are_back = id, true
    end
  end
  if are_back then
    table.sort(line, function(a, b)
      local l, other = lease_of(a) or {}, lease_of(b) or {}
      local place, other_place = tonumber(l.place) or 0, tonumber(other.place) or 0
      return place < other_place or place == other_place and a < b
    end)
  end
  return line
end

-- Hands spare workers to those who wait, the first in line first. Who waits for one worker holds nobody up: behind many
-- of those the first who takes any is looked at too (each who waits for one looks itself, see lease/confirm).
local function serve(p, now)
  local w
  local function find(id)
    local l = lease_of(id)
    if l and l.state == 'waiting' and tonumber(l.deadline) <= now then
      end_lease(l, 'timed_out')
    end
    w = l and l.state == 'waiting' and worker_for(p, l, now)
    return w and l
  end
  for _ = 1, LOOK_MAX do
    local first = first_in_line(p, 'waiting')
    local l = first_of(first, find)
    if not l and #first >= LOOK_MAX then
      l = first_of(first_in_line(p, 'unbound'), find)
    end
    if not l then
      return
    end
    grant(p, w, l, now)
  end
end

-- The caller has the lease from now on: its worker took it, and the caller is still there.
local function hold(l, now)
  l.state, l.until_at, l.due_at, l.reason = 'held', now + l.lease_ms, nil, nil
end
