-- How many workers a pool will need, going by what it has seen; prepended to the scripts that ask.

-- How many will come while a worker starts, going by the last arrivals.
local function foreseen(p, now)
  local quiet = now - (tonumber(p.arrivals_at) or now)
  local rate = quiet > 2 * ARRIVALS_MS and 0 or rule(p, 'arrival_rate')
  return p.foresee == '0' and 0 or math.ceil(rate * rule(p, 'start_ms_seen') / 1000000)
end

-- How many workers there should be, and why. `n` is how many there are, by state; `spare_now` and `min_now` are what
-- the schedule asks for.
local function wanted_now(p, n, waiting, spare_now, min_now, now)
  spare_now, min_now = tonumber(spare_now), tonumber(min_now)
  if p.draining == '1' then
    return n.busy + n.resetting, 'draining'
  end
  local unused = rule(p, 'zero_ms') > 0 and now - (tonumber(p.used_at) or p.created_at) >= rule(p, 'zero_ms')
  if unused and waiting + n.busy + spare_now + min_now == 0 then
    return 0, 'unused'
  end
  local spare, reason = rule(p, 'spare'), 'spare'
  if spare_now > spare then
    spare, reason = spare_now, 'scheduled'
  end
  local soon = foreseen(p, now)
  if soon > spare then
    spare, reason = soon, 'foreseen'
  end
  -- What is being reset will be spare again by the time that another has started.
  local wanted = n.busy + waiting + spare
  if waiting > 0 then
    reason = 'waiting'
  end
  local min = math.max(rule(p, 'min'), min_now)
  if wanted < min then
    wanted, reason = min, min_now > rule(p, 'min') and 'scheduled' or 'min'
  end
  if wanted > rule(p, 'max') then
    wanted, reason = rule(p, 'max'), 'max'
  end
  return wanted, reason
end

-- Why a spare worker is to go, if it is. Of those that are worn or of an older version, as many as the pool can spare;
-- of those that are too many, `surplus`.
local function leaves(p, w, surplus, now)
  if surplus > 0 then
    return p.draining == '1' and 'drained' or 'scaled_in'
  end
  local why = wear_of(p, w, now)
  return why and decide(p, w, why, now) == 'replace' and why
end

local function more_free(a, b)
  return a.free > b.free
end

-- The runners that can take more workers, the emptiest first.
local function rooms_of(p, now)
  local rooms = {}
  for _, runner in ipairs(redis.call('ZRANGE', set_of(p, 'runners'), 0, 63)) do
    local member = runner_member({ pool_key = p.key, runner = runner })
    local told = redis.call('HMGET', prefix .. member, 'capacity', 'draining')
    local free = (tonumber(told[1]) or 0) - redis.call('ZCARD', prefix .. member .. ':workers')
    if is_heard(member, now) and told[2] ~= '1' and free > 0 then
      rooms[#rooms + 1] = { runner = runner, free = free }
    end
  end
  table.sort(rooms, more_free)
  return rooms
end

-- Remembers what was decided, and why.
local function note_plan(p, wanted, lives, reason, begun, gone, now)
  local count = rule(p, 'plans')
  p.plans, p.plan_reason = count + 1, reason
  p['plan:' .. count % PAST_MAX] = table.concat({ now, wanted, lives, begun, gone, reason }, ' ')
end
