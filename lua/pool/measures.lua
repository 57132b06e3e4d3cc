-- What a pool has seen of arrivals and starts; prepended to the scripts that see them.

-- How long arrivals are counted before they become a rate.
local ARRIVALS_MS = 10000
-- After so many starts that failed the pause between them grows no more.
local BACKOFF_STEPS_MAX = 6

-- A session has come. The rate is in thousandths a second, half of it from the last ten seconds.
local function note_arrival(p, now)
  local since = tonumber(p.arrivals_at) or now
  if now - since >= ARRIVALS_MS then
    local seen = rule(p, 'arrivals') * 1000000 / (now - since)
    p.arrival_rate = math.floor((rule(p, 'arrival_rate') + seen) / 2)
    p.arrivals, since = 0, now
  end
  p.arrivals, p.arrivals_at, p.used_at = rule(p, 'arrivals') + 1, since, now
end

-- A start took so long.
local function note_start(p, took_ms)
  local known = tonumber(p.start_ms_seen)
  p.start_ms_seen = known and math.floor((known * 3 + took_ms) / 4) or took_ms
  p.starts_failed, p.start_after = nil, nil
end

-- A start failed: the next one waits, longer each time.
local function note_failed_start(p, now)
  local failed = rule(p, 'starts_failed') + 1
  p.starts_failed = failed
  p.start_after = now + 1000 * 2 ^ math.min(failed - 1, BACKOFF_STEPS_MAX)
end
