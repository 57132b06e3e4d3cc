-- Makes an API key. The same id again changes nothing: ids are never given twice, so it is the same call.
-- KEYS[1] hash    gr:{shard}:apikey:<id>
-- KEYS[2] zset    gr:{shard}:index:apikeys
-- KEYS[3] zset    gr:{shard}:index:<tenant>:apikeys, or the second again where it is bound to no tenant
-- KEYS[4] stream  gr:{shard}:events
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] id   ARGV[3] SHA-256 of the secret, base64   ARGV[4] name
-- ARGV[5] scopes, with commas   ARGV[6] tenant (empty: none)   ARGV[7] how long it opens, s (empty: for good)
-- ARGV[8] who makes it   ARGV[9] calls a second (empty: as the settings say)
-- Returns: {now, field, value, …}
-- Errors: none
local now = clock(ARGV[1])
local _, found = load_key(KEYS[1], KEYS[4])
redis.call('ZCARD', KEYS[2])
redis.call('ZCARD', KEYS[3])
if #found > 0 then
  return { now, found }
end
local key = { hash = ARGV[3], name = ARGV[4], scopes = ARGV[5], created_at = now, created_by = ARGV[8] }
if ARGV[6] ~= '' then
  key.tenant = ARGV[6]
end
if ARGV[7] ~= '' then
  key.expires_at = now + tonumber(ARGV[7]) * 1000
end
if ARGV[9] ~= '' then
  key.rate_limit = ARGV[9]
end
local flat = {}
for field, value in pairs(key) do
  flat[#flat + 1] = field
  flat[#flat + 1] = tostring(value)
end
redis.call('HSET', KEYS[1], unpack(flat))
if key.expires_at then
  redis.call('EXPIRE', KEYS[1], tonumber(ARGV[7]) + REMEMBERED_SECONDS)
end
redis.call('ZADD', KEYS[2], 0, ARGV[2])
redis.call('ZADD', KEYS[3], 0, ARGV[2])
add_key_event(KEYS[4], ARGV[2], key.tenant, now, 'created', ARGV[8])
return { now, flat }
