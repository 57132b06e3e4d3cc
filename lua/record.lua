-- A thing is a hash in Redis and a table in a script, which reads it, changes the table, and writes what differs.
-- Prepended to the scripts that do so.

local function flatten(hash)
  local flat = {}
  for field, value in pairs(hash) do
    flat[#flat + 1] = field
    flat[#flat + 1] = tostring(value)
  end
  return flat
end

local function copy_of(hash)
  local copy = {}
  for field, value in pairs(hash) do
    copy[field] = value
  end
  return copy
end

-- Writes what differs from what was read (`before`). Returns whether anything does.
local function write_changes(key, before, now)
  local set, gone = {}, {}
  for field, value in pairs(now) do
    local was = before[field]
    -- Most are as they were read: a comparison of two strings costs less than a call.
    if value ~= was and tostring(value) ~= was then
      set[#set + 1] = field
      set[#set + 1] = tostring(value)
    end
  end
  for field in pairs(before) do
    if now[field] == nil then
      gone[#gone + 1] = field
    end
  end
  if #set > 0 then
    redis.call('HSET', key, unpack(set))
  end
  if #gone > 0 then
    redis.call('HDEL', key, unpack(gone))
  end
  return #set > 0 or #gone > 0
end
