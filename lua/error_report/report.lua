-- Counts failures in their group, over time and with a sample; makes room by forgetting who was not seen for longest.
-- KEYS[1] hash    gr:{shard}:error:<tenant>:<id>
-- KEYS[2] zset    gr:{shard}:index:<tenant>:errors
-- KEYS[3] hash    gr:{shard}:once:<digest>   (only where the caller sent an Idempotency-Key)
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] prefix of the tenant's groups   ARGV[3] id   ARGV[4] how many failures
-- ARGV[5] which call: the same again changes nothing   ARGV[6] how many groups at most
-- ARGV[7] how long a group is remembered ms   ARGV[8] digest of the request (see idempotency.lua)
-- ARGV[9] a sample   ARGV[10] fields and their values, to the end
-- Builds: gr:{shard}:error:<tenant>:<id> of those that are forgotten
-- Returns: {1 if the group is new, how many failures it has}
-- Errors: KEY_REUSED
local SAMPLES, MINUTES, HOURS, FORGOTTEN_MAX = 3, 60, 24, 100
local now, times = clock(ARGV[1]), tonumber(ARGV[4])
local once = { key = KEYS[3], body = ARGV[8] }
local before = replay(once)
if before then
  return before
end
local group = read_hash(KEYS[1])
local newest = redis.call('ZRANGE', KEYS[2], 0, 0, 'REV', 'WITHSCORES')
local count = (tonumber(group.count) or 0) + times
if group.call == ARGV[5] then
  return { group.count == ARGV[4] and 1 or 0, tonumber(group.count) }
end

-- A place in a ring tells which minute (or hour) it counts, so that nothing has to be cleared.
local function add_to_ring(fields, name, length, at)
  local field = name .. at % length
  local of, counted = (group[field] or ''):match('^(%d+):(%d+)$')
  fields[#fields + 1] = field
  fields[#fields + 1] = at .. ':' .. ((tonumber(of) == at and tonumber(counted) or 0) + times)
end

local samples = tonumber(group.samples) or 0
local fields = {
  'count', count, 'last_seen', now, 'first_seen', group.first_seen or now, 'call', ARGV[5],
  'samples', samples + 1, 'sample' .. samples % SAMPLES, now .. ' ' .. ARGV[9],
}
for i = 10, #ARGV do
  fields[#fields + 1] = ARGV[i]
end
add_to_ring(fields, 'minute', MINUTES, math.floor(now / 60000))
add_to_ring(fields, 'hour', HOURS, math.floor(now / 3600000))
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('PEXPIRE', KEYS[1], ARGV[7])
-- No two groups have the same place, so that pages can tell where they ended.
redis.call('ZADD', KEYS[2], next_token(newest[2], now), ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[7])
local excess = math.min(redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[6]), FORGOTTEN_MAX)
if excess > 0 then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, excess - 1)) do
    redis.call('DEL', ARGV[2] .. id)
    redis.call('ZREM', KEYS[2], id)
  end
end
return keep(once, { group.count and 0 or 1, count })
