-- Shared by the scripts of locks; prepended after the prelude.

-- A lock that nobody has is remembered for an hour, for its token; later ones are higher by the time alone.
local MEMORY_MS = 3600000

local function lease_of(lock)
  return tonumber(lock.lease_until) or 0
end

local function is_held(lock, now)
  return lock.owner and now < lease_of(lock)
end

local function outlive(key, lease_ms)
  redis.call('PEXPIRE', key, lease_ms + MEMORY_MS)
end

-- {1 if it is the caller's, token, owner, since ms, until ms, lease left ms}. A lock that a release before this one
-- gave has no `acquired_at`.
local function told(is_the_callers, lock, now)
  local token, ends = tonumber(lock.token), lease_of(lock)
  return { is_the_callers and 1 or 0, token, lock.owner, tonumber(lock.acquired_at) or token, ends, ends - now }
end
