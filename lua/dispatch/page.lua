-- A page of a tenant's dispatches in one shard, by name.
-- KEYS[1] zset    gr:{shard}:index:<tenant>:dispatches
-- ARGV[1] prefix of the shard's keys   ARGV[2] tenant   ARGV[3] lower bound   ARGV[4] upper bound   ARGV[5] how many
-- Builds: gr:{shard}:dispatch:<tenant>:<room>:<agent>, gr:{shard}:people:<tenant>:<room>
-- Flags: no-writes
-- Returns: {{member, people, {field, value, …}}, …}
-- Errors: none
local page = {}
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[3], ARGV[4], 'BYLEX', 'LIMIT', 0, ARGV[5])) do
  local k = keys_of(ARGV[1], ARGV[2] .. ':' .. member)
  local _, flat = read_hash(k[1])
  page[#page + 1] = { member, redis.call('HLEN', k[2]), flat }
end
return page
