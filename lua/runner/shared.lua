-- How runners are heard and told; prepended to the scripts that do so.
--
-- What a runner tells is numbered within a start of it (`boot`). What it is told is numbered too: a worker's place in
-- the set of its runner's workers is the number of the last thing that it was told to do.

-- How many workers a runner may tell of.
local WORKERS_MAX = 200
-- How many earlier starts of a runner are remembered.
local BOOTS_MAX = 8

local ACTIONS = {
  initializing = 'run', ready = 'run', degraded = 'run', busy = 'keep', resetting = 'reset', terminating = 'stop',
  terminated = 'stop',
}

-- The start and number of what was heard last, and the starts before.
local function last_heard(runner_key)
  local last = redis.call('HMGET', runner_key, 'boot', 'report', 'boots')
  return { boot = last[1], report = tonumber(last[2]) or 0, boots = last[3] or '' }
end

-- Why a report is not heard: a newer one was (of the same start, or of a later one), or it adds to one (`since`) that
-- is not known. What was heard last may be said again.
local function objection(last, boot, report, since)
  local is_same = last.boot == boot
  local is_before = (' ' .. last.boots .. ' '):find(' ' .. boot .. ' ', 1, true)
  if is_same and tonumber(report) < last.report or not is_same and is_before then
    return refuse('STALE_REPORT', 'a newer report was heard')
  elseif since ~= '' and (not is_same or tonumber(since) > last.report) then
    return refuse('INCOMPLETE', 'what it adds to is not known')
  end
end

-- The starts of the runner before this one, the newest first.
local function boots_before(last, boot)
  local boots = { last.boot ~= boot and last.boot or nil }
  for former in last.boots:gmatch('%S+') do
    if #boots < BOOTS_MAX then
      boots[#boots + 1] = former
    end
  end
  return table.concat(boots, ' ')
end

-- The number of the last thing that the runner was told, and its workers that it has to hear of who has heard `known`
-- (empty: nothing): all of them where it cannot be said of which.
local function unheard(runner_key, known)
  local told = redis.call('HMGET', runner_key, 'told', 'whole')
  local last, set = tonumber(told[1]) or 0, runner_key .. ':workers'
  known = tonumber(known)
  if known and known <= last and known >= (tonumber(told[2]) or 0) then
    return last, redis.call('ZRANGE', set, '(' .. known, '+inf', 'BYSCORE', 'LIMIT', 0, WORKERS_MAX), false
  end
  return last, redis.call('ZRANGE', set, 0, WORKERS_MAX), true
end

local function action_of(w, reset_mode)
  if w.state == 'busy' and w.instruction == 'assign' then
    return 'assign'
  elseif w.state == 'resetting' and reset_mode == 'restart' then
    return 'restart'
  end
  return ACTIONS[w.state]
end

-- What the runner is told of a worker.
local function wish_of(key_prefix, id, w, reset_mode, now)
  local action, left_ms = action_of(w, reset_mode), math.max(0, (tonumber(w.due_at) or now) - now)
  local assignment = action == 'assign' and redis.call('GET', key_prefix .. 'assignment:' .. w.lease) or ''
  return { id, action, tonumber(w.token) or 0, left_ms, w.lease or '', w.session or '', assignment }
end
