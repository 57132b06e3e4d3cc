-- Shared by the scripts of breakers; prepended after the prelude. `src/breaker/machine.rs` has the same rules, for a
-- replica whose Redis is away: who changes the one changes the other, and a test plays both side by side.
--
-- A breaker is one hash. A script reads it with `load_breaker`, changes the table, and ends with `save_breaker`, which
-- writes what differs, and tells of each transition. `k` is the list of its keys:
--   1 breaker  2 index  3 events  4 shard

local BREAKER_SECONDS = 30 * 24 * 3600
local BREAKER_EVENTS_MAX = 10000
local HISTORY_MAX = 20
local REPORTERS_MAX = 64
local BUCKETS = 10
-- How long who was refused while others probe waits at most.
local PROBE_POLL_MS = 1000

local written, floor, moves = {}, 0, {}

-- The breaker as a table, with its numbers as numbers; nil where there is none and no rules make one. Fails where a
-- key is of another type, before anything is written.
local function load_breaker(k, now, rules)
  redis.call('ZCARD', k[2])
  redis.call('XLEN', k[3])
  floor = tonumber(redis.call('HGET', k[4], 'token_floor')) or 0
  local b = {}
  for field, value in pairs(read_hash(k[1])) do
    written[field] = value
    b[field] = field ~= 'note' and tonumber(value) or value
  end
  local is_new = not b.state
  if is_new then
    if rules == '' then
      return nil
    end
    b = { state = 'closed', generation = next_token(floor, now), since = now, reason = 'made', calls = 0, failures = 0,
      slow = 0, refused = 0, opened = 0, streak = 0, successes = 0, doublings = 0, transitions = 0 }
  end
  -- Those that begin with `new` are for one that is made only.
  if is_new or rules:sub(1, 4) ~= 'new ' then
    for rule, value in rules:gmatch('(%S+) (%d+)') do
      b[rule] = tonumber(value)
    end
  end
  return b
end

-- Writes what differs, and tells the others of transitions: an event for each, and one hint.
local function save_breaker(k, b)
  if not write_changes(k[1], written, b) then
    return
  end
  local prefix, name, tenant, own = k[1]:match('^(gr:{%d+}:)(breaker:([^:]*):(.*))$')
  if not written.state then
    redis.call('ZADD', k[2], 0, own)
  end
  if b.forced and not b.forced_until then
    redis.call('PERSIST', k[1])
  else
    redis.call('EXPIRE', k[1], BREAKER_SECONDS)
  end
  for _, move in ipairs(moves) do
    redis.call('XADD', k[3], 'MAXLEN', '~', BREAKER_EVENTS_MAX, '*', 'at', move.at, 'tenant', tenant, 'breaker', own,
      'state', move.state, 'reason', move.reason)
  end
  if #moves > 0 then
    redis.call('PUBLISH', prefix .. 'hints', name)
  end
end

local function fields_of(b, prefix)
  local found = {}
  for field in pairs(b) do
    if field:sub(1, #prefix) == prefix then
      found[#found + 1] = field
    end
  end
  return found
end

local function drop_fields(b, prefix)
  for _, field in ipairs(fields_of(b, prefix)) do
    b[field] = nil
  end
end

-- A transition: what was permitted or began before it counts for nothing any more.
local function move_breaker(b, now, state, reason)
  b.generation = next_token(math.max(b.generation, floor), now)
  b.state, b.since, b.reason = state, now, reason
  b.streak, b.successes = 0, 0
  drop_fields(b, 'probe:')
  if state ~= 'open' then
    b.open_until = nil
    drop_fields(b, 'bucket:')
  end
  b['past:' .. b.transitions % HISTORY_MAX] = now .. ' ' .. state .. ' ' .. reason
  b.transitions = b.transitions + 1
  moves[#moves + 1] = { at = now, state = state, reason = reason }
end

-- `jitter`: how much shorter it is than it would be, in thousandths, so that breakers that opened together do not
-- probe together.
local function open_breaker(b, now, reason, jitter)
  local longest = math.min(b.open_ms * 2 ^ math.min(b.doublings, 16), b.open_ms_max)
  move_breaker(b, now, 'open', reason)
  b.open_until = now + longest - math.floor(longest * jitter / 1000)
  b.opened = b.opened + 1
end

-- Takes a forced state back; what was held open is probed first.
local function release_breaker(b, now, reason)
  local was = b.forced
  b.forced, b.forced_until, b.note, b.doublings = nil, nil, nil, 0
  move_breaker(b, now, was == 'open' and 'half_open' or 'closed', reason)
end

-- What time alone brings: the end of a forced state, probes that lapse.
local function settle_breaker(b, now)
  if b.forced_until and now >= b.forced_until then
    release_breaker(b, now, 'force_over')
  end
  for _, field in ipairs(fields_of(b, 'probe:')) do
    if b[field] <= now then
      b[field] = nil
    end
  end
end

-- Calls, failures and slow ones in the window, and the bucket of now.
local function count_window(b, now)
  local current = math.floor(now / math.max(1, math.floor(b.window_ms / BUCKETS)))
  local sum = { 0, 0, 0 }
  for at = 0, BUCKETS - 1 do
    local index, calls, failures, slow = (b['bucket:' .. at] or ''):match('^(%d+) (%d+) (%d+) (%d+)$')
    index = tonumber(index)
    if index and index > current - BUCKETS and index <= current then
      sum = { sum[1] + calls, sum[2] + failures, sum[3] + slow }
    end
  end
  return sum[1], sum[2], sum[3], current
end

local function count_calls(b, now, calls, failures, slow)
  b.calls, b.failures, b.slow = b.calls + calls, b.failures + failures, b.slow + slow
  local _, _, _, current = count_window(b, now)
  local field = 'bucket:' .. current % BUCKETS
  local index, c, f, s = (b[field] or ''):match('^(%d+) (%d+) (%d+) (%d+)$')
  if tonumber(index) ~= current then
    c, f, s = 0, 0, 0
  end
  b[field] = current .. ' ' .. c + calls .. ' ' .. f + failures .. ' ' .. s + slow
end

-- Why a closed breaker has to open now, if it has to.
local function why_open(b, now)
  if b.failures_max > 0 and b.streak >= b.failures_max then
    return 'failures'
  end
  local calls, failures, slow = count_window(b, now)
  if calls < b.calls_min then
    return nil
  elseif b.failure_percent > 0 and failures * 100 >= b.failure_percent * calls then
    return 'failure_rate'
  elseif b.slow_percent > 0 and slow * 100 >= b.slow_percent * calls then
    return 'slow_calls'
  end
  return nil
end

-- What who asked or reported is told: verdict, generation, state, forced, wait ms, reason of a transition, now.
local function answer_of(b, now, verdict, wait)
  local last = moves[#moves]
  return { verdict, b.generation, b.state, b.forced or '', wait, last and last.reason or '', now }
end

-- Takes in calls that ended alike; false where they change nothing. `probe`: the field of their permit.
local function count_run(b, now, count, kind, probe, jitter)
  local failed, slow = kind == 'f' or kind == 'x', kind == 'w' or kind == 'x'
  if b.state == 'open' or b.state == 'half_open' and not b[probe] then
    return false
  end
  count_calls(b, now, count, failed and count or 0, slow and count or 0)
  if b.state == 'half_open' then
    b[probe] = nil
    if failed or slow and b.slow_percent > 0 then
      b.doublings = b.doublings + 1
      open_breaker(b, now, failed and 'probe_failed' or 'probe_slow', jitter)
    else
      b.successes = b.successes + 1
      if b.successes >= b.successes_min then
        b.doublings = 0
        move_breaker(b, now, 'closed', 'recovered')
      end
    end
    return true
  end
  b.streak = failed and b.streak + count or 0
  local reason = not b.forced and why_open(b, now)
  if reason then
    open_breaker(b, now, reason, jitter)
  end
  return true
end
