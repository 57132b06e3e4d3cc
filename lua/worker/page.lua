-- Workers of a pool, the oldest first.
-- KEYS[1] zset    gr:{shard}:pool:<tenant>:<pool>:workers
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] prefix of a worker's key   ARGV[3] how many to pass over   ARGV[4] limit
-- Builds: gr:{shard}:worker:<worker> of those in the set
-- Flags: no-writes
-- Returns: {now, {worker as field, value, …}, …}
-- Errors: none
local answer, first = { clock(ARGV[1]) }, tonumber(ARGV[3])
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], first, first + ARGV[4] - 1)) do
  answer[#answer + 1] = redis.call('HGETALL', ARGV[2] .. id)
end
return answer
