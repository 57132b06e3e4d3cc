-- A page of the API keys in one shard, by id; forgets those that are remembered no longer.
-- KEYS[1] zset    gr:{shard}:index:apikeys, or gr:{shard}:index:<tenant>:apikeys
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] prefix of the shard's keys   ARGV[3] lower bound   ARGV[4] how many
-- Builds: gr:{shard}:apikey:<id>
-- Flags: allow-oom
-- Returns: {now, {{id, {field, value, …}}, …}}; no fields where it was forgotten
-- Errors: none
local page, gone = {}, {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[3], '+', 'BYLEX', 'LIMIT', 0, ARGV[4])) do
  local _, flat = read_hash(ARGV[2] .. 'apikey:' .. id)
  page[#page + 1] = { id, flat }
  if #flat == 0 then
    gone[#gone + 1] = id
  end
end
if #gone > 0 then
  redis.call('ZREM', KEYS[1], unpack(gone))
end
return { clock(ARGV[1]), page }
