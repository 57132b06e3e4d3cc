-- A time to live that adapts: longer where people tend to come back, within bounds. Prepended before
-- `shared.lua`; off unless the dispatch has `ttl_seconds_max`.

-- How people of a place come and go, where its time to live adapts: `away_ms`, how long those who came
-- back had been away, smoothed; `away_spread_ms`, how far that scatters; `left_at`, when the last left.
local HABIT = { 'away_ms', 'away_spread_ms', 'left_at' }
-- So long a place's habit outlives its dispatch.
local HABIT_SECONDS = 7 * 24 * 3600

local function habit_key(k)
  return (k[1]:gsub(':dispatch:', ':habit:', 1))
end

-- How long the dispatch outlives the last person, ms. One that adapts waits for nearly all of those
-- who come back: the estimate of RFC 6298 (its SRTT + 4 × RTTVAR), within the bounds.
local function time_to_live(d)
  local base = tonumber(d.ttl_seconds) * 1000
  if not d.ttl_seconds_max then
    return base
  end
  local wanted = d.away_ms and tonumber(d.away_ms) + 4 * tonumber(d.away_spread_ms) or base
  return math.max(tonumber(d.ttl_seconds_min) * 1000, math.min(math.floor(wanted), tonumber(d.ttl_seconds_max) * 1000))
end

-- Somebody came back: how long nobody was there is learnt, unless it is so long that no time to live
-- would have lasted.
local function learn_return(d, now)
  local away = d.left_at and now - tonumber(d.left_at)
  d.left_at = nil
  if not d.ttl_seconds_max or not away or away < 0 or away > tonumber(d.ttl_seconds_max) * 1000 then
    return
  end
  if d.away_ms then
    local smoothed, spread = tonumber(d.away_ms), tonumber(d.away_spread_ms)
    d.away_spread_ms = math.floor(spread + (math.abs(away - smoothed) - spread) / 4)
    d.away_ms = math.floor(smoothed + (away - smoothed) / 8)
  else
    d.away_ms, d.away_spread_ms = away, math.floor(away / 2)
  end
end

-- Nobody came back while the time to live ran: it gets shorter.
local function learn_absence(d)
  if d.away_ms then
    d.away_ms, d.away_spread_ms = math.floor(d.away_ms * 7 / 8), math.floor(d.away_spread_ms * 7 / 8)
  else
    d.away_ms, d.away_spread_ms = math.floor(time_to_live(d) * 7 / 8), 0
  end
end

-- The habit of the place goes on in its next dispatch. Who asks for one came back.
local function recall_habit(k, d, fresh, now)
  local known = d or {}
  if not d then
    local values = redis.call('HMGET', habit_key(k), unpack(HABIT))
    for i, field in ipairs(HABIT) do
      known[field] = tonumber(values[i] or '')
    end
  end
  for _, field in ipairs(HABIT) do
    fresh[field] = known[field]
  end
  learn_return(fresh, now)
end

-- The dispatch is over: keeps the habit for the place's next one.
local function keep_habit(k, d)
  if d.ttl_seconds_max and d.left_at and d.reason == 'ttl' then
    learn_absence(d)
  end
  if d.ttl_seconds_max and d.away_ms then
    local left_at = d.left_at or ''
    redis.call('HSET', habit_key(k), 'away_ms', d.away_ms, 'away_spread_ms', d.away_spread_ms, 'left_at', left_at)
    redis.call('EXPIRE', habit_key(k), HABIT_SECONDS)
  end
end
