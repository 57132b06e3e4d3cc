-- Marks a migration as done in a shard, or in the whole store. Running it twice changes nothing.
-- KEYS[1] hash    gr:{shard}:shard, or gr:schema
-- ARGV[1] field that holds the version   ARGV[2] version
-- Returns: the version as it stands
-- Errors: none
local version = tonumber(redis.call('HGET', KEYS[1], ARGV[1])) or 0
if version < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  return tonumber(ARGV[2])
end
return version
