-- Writes what a script of pools has changed; prepended to it after pool/shared.lua. Nothing here may fail: the types of
-- all that is written were checked when it was read.

local function belongs(set, member, before, after)
  if before and not after then
    redis.call('ZREM', set, member)
  elseif after and before ~= after then
    redis.call('ZADD', set, after, member)
  end
end

-- Why a worker's step is an error; and how a session ends by one.
local ERRORS = {
  crashed = true, lost = true, runner_lost = true, start_failed = true, start_timeout = true, unhealthy = true,
  assign_failed = true, assign_timeout = true, reset_failed = true, reset_timeout = true, stop_timeout = true,
}
local LOST = { worker_lost = true, rebound = true }

-- What somebody waits to hear of, if anything: a session that has its worker, has ended, or has lost it; a worker that
-- failed.
local function event_of(kind, thing, before)
  if kind == 'worker' then
    return ERRORS[thing.reason] and 'worker_error' or ''
  elseif thing.state == 'held' and before.state ~= 'idle' then
    return 'session_created'
  elseif thing.state == 'ended' and before.until_at then
    return LOST[thing.reason] and 'session_error' or 'session_closed'
  end
  return ''
end

local function say(now, kind, thing, before)
  redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', EVENTS_MAX, '*', 'at', now, 'kind', kind, 'id', thing.id,
    'pool', thing.pool_key, 'state', thing.state, 'reason', thing.reason or '', 'worker', thing.worker or '',
    'session', kind == 'lease' and thing.session or '', 'event', event_of(kind, thing, before))
end

-- The number of the last thing that the runner was told; and from which on it cannot be said of single workers, for one
-- of them is gone.
local function save_runner(member, runner)
  if not runner.next then
    return
  end
  runner.told = runner.next
  if runner.is_known then
    redis.call('HSET', prefix .. member, 'told', runner.told, runner.is_whole and 'whole' or 'told', runner.told)
  end
end

local function save_worker(id, w, before)
  local p = { key = w.pool_key }
  local lives = w.state ~= 'terminated'
  local member, was, since = 'worker:' .. id, before.state, tonumber(w.since)
  write_changes(prefix .. member, before, w)
  if was ~= w.state then
    if was then
      redis.call('ZREM', set_of(p, 'in:' .. was), id)
    end
    if lives then
      redis.call('ZADD', set_of(p, 'in:' .. w.state), since, id)
    else
      redis.call('EXPIRE', prefix .. member, WORKER_MEMORY_SECONDS)
    end
  end
  belongs(set_of(p, 'spare'), id, is_spare(before) and tonumber(before.since), is_spare(w) and since)
  belongs(set_of(p, 'workers'), id, was and tonumber(before.created_at), lives and tonumber(w.created_at))
  belongs(prefix .. runner_member(w) .. ':workers', id, was and tonumber(before.told or 0),
    lives and tonumber(w.told or 0))
  belongs(prefix .. 'due:pool', member, tonumber(before.due_at), lives and tonumber(w.due_at))
end

-- A session that has a name: its lease while it lasts, and then for a while the worker that knows it.
local function save_session(l, was, now)
  local key = session_key(l.pool_key, l.session)
  if l.state ~= 'ended' then
    if not was then
      redis.call('HSET', key, 'lease', l.id)
      redis.call('PERSIST', key)
    end
    return
  end
  local known = redis.call('HMGET', key, 'lease', 'worker', 'until_at')
  local worker, left_ms = known[2], (tonumber(known[3]) or 0) - now
  if l.worker then
    worker, left_ms = l.worker, tonumber(l.affinity_ms) or 0
  end
  if known[1] and known[1] ~= l.id then
    return
  elseif worker and left_ms > 0 then
    redis.call('HDEL', key, 'lease')
    redis.call('HSET', key, 'worker', worker, 'until_at', now + left_ms)
    redis.call('PEXPIRE', key, left_ms)
  else
    redis.call('DEL', key)
  end
end

local function save_lease(id, l, before, now)
  local p, member = { key = l.pool_key }, 'lease:' .. id
  local lives = l.state ~= 'ended'
  local waits, waited = l.state == 'waiting', before.state == 'waiting'
  belongs(set_of(p, 'waiting'), id, waited and tonumber(before.place), waits and tonumber(l.place))
  belongs(set_of(p, 'unbound'), id, waited and not before.bound_to and tonumber(before.place),
    waits and not l.bound_to and tonumber(l.place))
  belongs(set_of(p, 'leases'), id, tonumber(before.granted_at), lives and tonumber(l.granted_at))
  belongs(set_of(p, 'keyed'), id, is_keyed(before) and tonumber(before.created_at),
    lives and is_keyed(l) and tonumber(l.created_at))
  belongs(set_of(p, 'idle'), id, tonumber(before.idle_at), lives and tonumber(l.idle_at))
  belongs(prefix .. 'due:pool', member, tonumber(before.due_at), lives and tonumber(l.due_at))
  belongs(prefix .. 'due:lease', member, tonumber(before.until_at), lives and tonumber(l.until_at))
  if lives then
    write_changes(prefix .. member, before, l)
  else
    redis.call('DEL', prefix .. member, prefix .. 'assignment:' .. id)
  end
  if l.session then
    save_session(l, before.id, now)
  end
  if before.state ~= l.state then
    if is_keyed(l) then
      hints['keyed:' .. l.pool_key] = true
    end
    say(now, 'lease', l, before)
  end
end

-- Writes all that was changed, and wakes those whom it concerns.
local function save_all(now)
  for _, step in ipairs(steps) do
    say(now, 'worker', step)
  end
  for id, w in pairs(workers) do
    if w.now.id then
      save_worker(id, w.now, w.before)
    end
  end
  for id, l in pairs(leases) do
    if l.now.id then
      save_lease(id, l.now, l.before, now)
    end
  end
  for key, p in pairs(pools) do
    p.now.key = nil
    if p.now.created_at then
      write_changes(prefix .. 'pool:' .. key, p.before, p.now)
    end
  end
  for member, runner in pairs(runners) do
    save_runner(member, runner)
  end
  for name in pairs(hints) do
    redis.call('PUBLISH', prefix .. 'hints', name)
  end
end
