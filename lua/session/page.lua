-- Sessions of a pool that have a worker, the oldest first, each with it.
-- KEYS[1] zset    gr:{shard}:pool:<tenant>:<pool>:leases
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] how many to pass over   ARGV[3] limit
-- Builds: gr:{shard}:lease:<lease>, gr:{shard}:worker:<worker> of those in the set
-- Flags: no-writes
-- Returns: {now, {lease as field, value, …}, {worker as field, value, …}, …}
-- Errors: none
local prefix, answer, first = KEYS[1]:match('^gr:{%d+}:'), { clock(ARGV[1]) }, tonumber(ARGV[2])
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], first, first + ARGV[3] - 1)) do
  local lease = prefix .. 'lease:' .. id
  answer[#answer + 1] = redis.call('HGETALL', lease)
  answer[#answer + 1] = redis.call('HGETALL', prefix .. 'worker:' .. (redis.call('HGET', lease, 'worker') or ''))
end
return answer
