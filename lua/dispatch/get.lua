-- One dispatch, as it is.
-- KEYS[1] hash    gr:{shard}:dispatch:<tenant>:<room>:<agent>
-- KEYS[2] hash    gr:{shard}:people:<tenant>:<room>
-- Flags: no-writes
-- Returns: {people, field, value, …}; the dispatch is empty where there is none
-- Errors: none
local _, flat = read_hash(KEYS[1])
return { redis.call('HLEN', KEYS[2]), flat }
