-- Lends a replica a part of what a caller may do in this second. Sent twice, it lends twice, and what is not used
-- lapses: callers may get less than their limit, and never more.
-- KEYS[1] hash    gr:{shard}:limit:<caller>
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] how many a second   ARGV[3] how many are wanted
-- Flags: allow-oom
-- Returns: {second, lent, left for others, ms to the end of the second}
-- Errors: none
local now, limit = clock(ARGV[1]), tonumber(ARGV[2])
local second = math.floor(now / 1000)
local found = redis.call('HMGET', KEYS[1], 'second', 'lent')
local before = tonumber(found[1]) == second and tonumber(found[2]) or 0
local lent = math.max(0, math.min(tonumber(ARGV[3]), limit - before))
if lent > 0 then
  redis.call('HSET', KEYS[1], 'second', second, 'lent', before + lent)
  redis.call('PEXPIRE', KEYS[1], 2000)
end
return { second, lent, math.max(0, limit - before - lent), (second + 1) * 1000 - now }
