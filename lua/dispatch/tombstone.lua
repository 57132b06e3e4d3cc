-- Before a dispatch is deleted at the provider: marks it dead, unless it is the live one.
-- KEYS[1] hash    gr:{shard}:dispatch:<tenant>:<room>:<agent>
-- KEYS[2] string  gr:{shard}:tombstone:<tenant>:<room>:<provider id>
-- ARGV[1] provider id
-- Flags: allow-oom
-- Returns: dead (delete it) | live (leave it)
-- Errors: none
local d = redis.call('HMGET', KEYS[1], 'provider_id', 'id')
if d[1] == ARGV[1] then
  return 'live'
end
redis.call('SET', KEYS[2], d[2] or '', 'EX', TOMBSTONE_SECONDS)
return 'dead'
