-- Makes the schema of an empty store; leaves one that is there as it is.
-- KEYS[1] hash    gr:schema
-- ARGV[1] version   ARGV[2] shards   ARGV[3] store id for a new store
-- Returns: {version, shards, store id} as they stand
-- Errors: none
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'version', ARGV[1], 'shards', ARGV[2], 'store_id', ARGV[3])
end
local schema = redis.call('HMGET', KEYS[1], 'version', 'shards', 'store_id')
return { tonumber(schema[1]), tonumber(schema[2]), schema[3] }
