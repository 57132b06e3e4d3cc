-- What a runner's word on its workers means; prepended to the script that hears it.
--
-- A report is {id, state, instruction, done, lease, session, released, failures, memory_bytes, pid, endpoint, requests,
-- errors}.

-- The session of a report goes on under the same lease: whoever holds that has the token. Where another has its name by
-- now, it goes on without one.
local function adopt_session(p, w, report, now)
  local l, session = leases[report.lease].now, report.session ~= report.lease and report.session or nil
  local owner = session and redis.call('HGET', session_key(p.key, session), 'lease')
  if owner and owner ~= report.lease and lease_of(owner) then
    session = nil
  end
  l.id, l.pool_key, l.state, l.worker, l.session = report.lease, p.key, 'held', w.id, session
  l.token, l.lease_ms, l.affinity_ms = report.instruction, l.lease_ms or p.lease_ms, is_keyed(l) and 0 or p.affinity_ms
  l.created_at, l.granted_at, l.until_at = l.created_at or now, now, now + l.lease_ms
  l.due_at, l.bound_to, l.endpoint, l.reason = nil, nil, report.endpoint, 'adopted'
  w.token, w.lease, w.session, w.sessions = l.token, l.id, report.session, (tonumber(w.sessions) or 0) + 1
end

-- Whether the report shows a session that nobody else has.
local function shows_session(p, report)
  if report.state ~= 'busy' or (report.instruction or 0) == 0 or not report.lease then
    return false
  end
  local l = lease_of(report.lease)
  return not l or l.state == 'waiting' and l.pool_key == p.key
end

-- A worker that lives and that nobody knows: Redis has lost it. One that failed its last instruction is none to have.
local function take_in(p, runner, report, now)
  local serves = shows_session(p, report)
  local is_clean = report.state == 'ready' and (report.done or not report.instruction)
  if not is_clean and not serves then
    return nil
  end
  local w = new_worker(p, report.id, runner, now, rule(p, 'age_ms'))
  w.token = report.instruction
  move_worker(w, serves and 'busy' or 'ready', 'adopted', now)
  if serves then
    adopt_session(p, w, report, now)
  end
  return w
end

-- A worker that was told more than Redis knows of (a fail-over, or an old word after Redis forgot all). One that counts
-- as idle or is still awaited, and has a session, goes on with it; one that counts as busy may have that session no
-- longer, and goes.
local function catch_up(p, w, report, now)
  if w.state ~= 'busy' and shows_session(p, report) then
    move_worker(w, 'busy', 'adopted', now)
    adopt_session(p, w, report, now)
  else
    take_away(w)
    dismiss(p, w, 'recycled', now)
  end
end

-- What the runner was told to do with the worker has been done, or has failed.
local function follow_instruction(p, w, done, now)
  if w.instruction == 'assign' and done then
    local l = lease_of(w.lease)
    w.instruction, w.due_at = nil, nil
    if l and l.state == 'offered' then
      l.taken, l.due_at = '1', now + OFFER_MS
      tell_waiter(l)
    end
  elseif w.instruction == 'assign' then
    treat(p, w, 'assign_failed', now)
  elseif w.instruction == 'reset' and not done then
    treat(p, w, 'reset_failed', now)
  elseif w.instruction == 'reset' then
    p.resets_proved = rule(p, 'resets_proved') + 1
    if w.cordoned == 'drain' then
      dismiss(p, w, 'drained', now)
    else
      move_worker(w, 'ready', 'reset_proved', now)
    end
  end
end

-- The worker says that its session is over. One that its caller does not have yet is told so once it is held.
local function follow_release(p, w, report, now)
  local l = w.state == 'busy' and report.released and report.lease == w.lease and lease_of(w.lease)
  if l and l.state == 'held' then
    end_lease(l, 'released')
    free(p, w, 'released', now)
  end
end

local function follow_health(p, w, now)
  if w.failures > 0 and w.state ~= 'initializing' and w.state ~= 'terminating' then
    treat(p, w, 'unhealthy', now)
  elseif w.failures == 0 and w.state == 'degraded' then
    treat(p, w, 'well', now)
  end
end

local function follow_end(p, w, now)
  if w.state == 'terminating' then
    move_worker(w, 'terminated', 'stopped', now)
  else
    treat(p, w, w.state == 'initializing' and 'start_failed' or 'crashed', now)
  end
end

local function follow(p, w, report, now)
  for _, field in ipairs({ 'pid', 'memory_bytes', 'endpoint', 'requests', 'errors' }) do
    w[field] = report[field] or w[field]
  end
  w.failures = report.failures or 0
  w.health = w.failures > 0 and 'unhealthy' or report.state ~= 'starting' and 'healthy' or 'unknown'
  local warning_mb = rule(p, 'memory_warning_mb')
  w.memory_high = warning_mb > 0 and (tonumber(w.memory_bytes) or 0) > warning_mb * 1048576 and '1' or nil
  local is_idle = w.state == 'ready' or w.state == 'degraded' or w.state == 'initializing'
  local is_ahead = (tonumber(report.instruction) or 0) > (tonumber(w.token) or 0)
  if report.state == 'gone' then
    return follow_end(p, w, now)
  elseif w.state == 'initializing' and report.state == 'ready' then
    note_start(p, now - w.since)
    move_worker(w, 'ready', 'started', now)
  elseif is_ahead and (is_idle and report.state == 'busy' or w.state == 'busy') then
    catch_up(p, w, report, now)
  elseif w.instruction and tonumber(report.instruction) == tonumber(w.token) then
    follow_instruction(p, w, report.done, now)
  end
  follow_release(p, w, report, now)
  follow_health(p, w, now)
end

-- Spare workers of a runner are no longer wanted.
local function dismiss_spare(p, member, reason, now)
  for _, it in pairs(workers) do
    if is_spare(it.now) and runner_member(it.now) == member then
      dismiss(p, it.now, reason, now)
    end
  end
end
