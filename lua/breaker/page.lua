-- A page of a tenant's breakers in one shard, by name; drops those from the index that nobody has used for long.
-- KEYS[1] zset    gr:{shard}:index:<tenant>:breakers
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] what the keys of the tenant's breakers begin with
-- ARGV[3] lower bound   ARGV[4] how many
-- Builds: gr:{shard}:breaker:<tenant>:<name>
-- Flags: allow-oom
-- Returns: {now, {{name, {field, value, …}}, …}}; no fields where it is forgotten
-- Errors: none
local page, gone = {}, {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[3], '+', 'BYLEX', 'LIMIT', 0, ARGV[4])) do
  local _, flat = read_hash(ARGV[2] .. name)
  page[#page + 1] = { name, flat }
  if #flat == 0 then
    gone[#gone + 1] = name
  end
end
if #gone > 0 then
  redis.call('ZREM', KEYS[1], unpack(gone))
end
return { clock(ARGV[1]), page }
