-- Keyed sessions: between two uses such a session keeps its worker, with all that it knows. Its lease is `held` while
-- somebody uses it, then `idle`. A pool has so many at most, and gives up those that were used longest ago. Prepended
-- to the scripts of pools after pool/shared.lua.

-- A key is told from a session's name by what no encoded name has: a colon.
local function is_keyed(l)
  return l.session ~= nil and l.session:sub(1, 4) == 'key:'
end

local function count_keyed(p, what)
  p[what] = rule(p, what) + 1
end

-- The session is over, and its worker is freed of it.
local function give_up(p, l, reason, now)
  local w = l.worker and worker_of(l.worker)
  end_lease(l, reason)
  if p and w and w.lease == l.id then
    free(p, w, reason, now)
  end
end

-- Its holder lets it go. A keyed one keeps its worker, unless that is to go.
local function let_go(p, l, reason, now)
  local w = l.worker and worker_of(l.worker)
  local stays = p and w and w.lease == l.id and is_keyed(l) and l.state == 'held'
  if stays and p.draining ~= '1' and w.cordoned ~= 'drain' and w.version == p.version then
    l.state, l.reason, l.idle_at, l.until_at = 'idle', reason, now, now + rule(p, 'keyed_idle_ms')
  elseif l.state ~= 'idle' then
    give_up(p, l, reason, now)
  end
end

-- Somebody uses the idle one again.
local function use_again(p, l, lease_ms, now)
  l.state, l.reason, l.idle_at, l.lease_ms, l.until_at = 'held', 'reused', nil, lease_ms, now + lease_ms
  p.used_at = now
  count_keyed(p, 'keyed_reused')
end

-- The session asks again: its lease, or its wait, lasts as long as it would now, if it did not already.
local function ask_again(p, l, now, lease_ms, wait_ms)
  if l.state == 'held' then
    l.until_at = math.max(l.until_at, now + lease_ms)
  elseif l.state == 'idle' then
    use_again(p, l, lease_ms, now)
  elseif l.state == 'waiting' then
    l.deadline = math.max(l.deadline, now + wait_ms)
    l.due_at = l.deadline
  end
end

-- What who asked for a worker is told; `reused` where the lease was there before.
local function answer_of(l, now, is_reused)
  local fields = flatten(l)
  fields[#fields + 1] = 'reused'
  fields[#fields + 1] = is_reused and '1' or '0'
  return { l.state == 'ended' and 'none' or l.state, now, fields }
end

-- Takes the key away from a worker that is not well, which goes; the key gets another one. Whether it did.
local function rebind(p, l, now)
  local w = is_keyed(l) and l.until_at and worker_of(l.worker)
  if not w or w.lease ~= l.id or w.health ~= 'unhealthy' then
    return false
  end
  end_lease(l, 'rebound')
  w.lease, w.session = nil, nil
  dismiss(p, w, 'unhealthy', now)
  count_keyed(p, 'keyed_rebound')
  return true
end

-- Makes room for another key. False where too many are in use. There are never more than workers: further ones would
-- only wait for those that are idle.
local function make_room(p, now)
  local over = redis.call('ZCARD', set_of(p, 'keyed')) + 1 - math.min(rule(p, 'keyed_max'), rule(p, 'max'))
  for _, id in ipairs(over > 0 and redis.call('ZRANGE', set_of(p, 'idle'), 0, LOOK_MAX - 1) or {}) do
    local l = over > 0 and lease_of(id)
    if l and l.state == 'idle' then
      give_up(p, l, 'evicted', now)
      count_keyed(p, 'keyed_evicted')
      over = over - 1
    end
  end
  return over <= 0
end

-- Nobody comes back to a pool that is drained.
local function end_idle(p, now)
  for _, id in ipairs(redis.call('ZRANGE', set_of(p, 'idle'), 0, LOOK_MAX - 1)) do
    local l = lease_of(id)
    if l and l.state == 'idle' then
      give_up(p, l, 'idle', now)
    end
  end
end
