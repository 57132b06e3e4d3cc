-- A page of a tenant's groups of failures, the one seen last first; forgets those that are remembered no longer.
-- KEYS[1] zset    gr:{shard}:index:<tenant>:errors
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] prefix of the tenant's groups   ARGV[3] upper bound of the place
-- ARGV[4] how many
-- Builds: gr:{shard}:error:<tenant>:<id>
-- Flags: allow-oom
-- Returns: {now, {{id, place, {field, value, …}}, …}}; no fields where it was forgotten
-- Errors: none
local page, gone = {}, {}
local found = redis.call('ZRANGE', KEYS[1], ARGV[3], '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, ARGV[4], 'WITHSCORES')
for i = 1, #found, 2 do
  local _, flat = read_hash(ARGV[2] .. found[i])
  page[#page + 1] = { found[i], found[i + 1], flat }
  if #flat == 0 then
    gone[#gone + 1] = found[i]
  end
end
if #gone > 0 then
  redis.call('ZREM', KEYS[1], unpack(gone))
end
return { clock(ARGV[1]), page }
