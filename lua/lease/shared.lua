-- How a lease lasts for longer; prepended to the scripts by which it does.

-- It lasts so long from now on. Returns when it ends.
local function prolong(key, due, id, lease_ms, now)
  local until_at = now + lease_ms
  redis.call('HSET', key, 'lease_ms', lease_ms, 'until_at', until_at)
  redis.call('ZADD', due, until_at, 'lease:' .. id)
  return until_at
end
