-- When silence is believed; prepended to the scripts that reap what is kept up by heartbeats.

local BRAKE_MIN = 10

-- Whether the shard was not scanned for so long that nobody may have been heard either. Half of what a report is
-- believed: at the beginning of a break the last report is old already, by up to the other half.
local function was_away(scanned_at, now, believed_ms)
  scanned_at = tonumber(scanned_at) or 0
  return now < scanned_at or (now - scanned_at) * 2 > tonumber(believed_ms)
end

-- Notes the scan of a lane. Nil where what is due there may be reaped; else how long not yet, and how many were spared
-- by the brake, where it is put on now. `of` is what the lane's marks in the shard's hash begin with.
local function spared(shard_key, lane, of, now, believed_ms)
  local scanned, grace, braked = of .. 'scanned_at', of .. 'grace_until', of .. 'braked_until'
  local shard = redis.call('HMGET', shard_key, scanned, grace, braked)
  local grace_until, braked_until = tonumber(shard[2]) or 0, tonumber(shard[3])
  local late, all = redis.call('ZCOUNT', lane, '-inf', now), redis.call('ZCARD', lane)
  -- After a break nobody could report: everybody gets one full period.
  if was_away(shard[1], now, believed_ms) then
    grace_until = now + believed_ms
    redis.call('HSET', shard_key, grace, grace_until)
  end
  redis.call('HSET', shard_key, scanned, now)
  if now < grace_until then
    return grace_until - now, 0
  end
  -- The brake: where half of all, and ten at least, fall silent at once, it is more likely that they cannot be heard.
  -- They get one more period.
  if late < BRAKE_MIN or late * 2 < all then
    if braked_until then
      redis.call('HDEL', shard_key, braked)
    end
  elseif not braked_until then
    redis.call('HSET', shard_key, braked, now + believed_ms)
    return believed_ms, late
  elseif now < braked_until then
    return braked_until - now, 0
  end
end
