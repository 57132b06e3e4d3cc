-- Shared by the scripts of locks; prepended after the prelude.

-- A lock that nobody has is remembered for an hour, for its token; later ones are higher by the time alone.
local MEMORY_MS = 3600000

local function lease_of(lock)
  return tonumber(lock.lease_until) or 0
end

local function outlive(key, lease_ms)
  redis.call('PEXPIRE', key, lease_ms + MEMORY_MS)
end
