-- Gives a pool its settings; makes it where it is not there.
-- KEYS[1] hash    gr:{shard}:pool:<tenant>:<pool>
-- KEYS[2] zset    gr:{shard}:index:<tenant>:pools
-- KEYS[3] zset    gr:{shard}:index:pools
-- KEYS[4] hash    gr:{shard}:once:<digest>; left out without an `Idempotency-Key`
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] `<tenant>:<pool>`   ARGV[3] settings as `name value …`
-- ARGV[4] how many pools of the tenant the shard may have   ARGV[5] 1 where one that is there keeps its settings
-- ARGV[6] digest of the request
-- Builds: the pool's sets (see shared.lua)
-- Returns: {1 if it was made, now}
-- Errors: TOO_MANY, KEY_REUSED
local once = { key = KEYS[4], body = ARGV[6] }
local said = replay(once)
if said then
  return said
end
local now, name = clock(ARGV[1]), ARGV[2]:match(':(.*)$')
local p = load_pool(ARGV[2])
redis.call('ZCARD', KEYS[3])
if not p and redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) then
  return refuse('TOO_MANY', 'as many pools as there may be')
end
if not p or ARGV[5] ~= '1' then
  local fields = pools[ARGV[2]].now
  for field, value in ARGV[3]:gmatch('(%S+) (%S+)') do
    fields[field] = value
  end
  fields.created_at = fields.created_at or now
  redis.call('ZADD', KEYS[2], 0, name)
  redis.call('ZADD', KEYS[3], 0, ARGV[2])
  save_all(now)
end
return keep(once, { p and 0 or 1, now })
