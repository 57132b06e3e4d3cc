-- The lease that a named session holds, and what its worker was told. Where it is asked to, it lasts for longer: who
-- looks after a session keeps it.
-- KEYS[1] hash    gr:{shard}:session:<tenant>:<pool>:<session>
-- KEYS[2] zset    gr:{shard}:due:lease
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] how long it shall last from now on, ms (empty: as it does)
-- Builds: gr:{shard}:lease:<lease>, gr:{shard}:assignment:<lease>
-- Flags: allow-oom
-- Returns: {now, lease as field, value, …; no field where it holds none, what its worker was told or false}
-- Errors: none
local now, prefix = clock(ARGV[1]), KEYS[1]:match('^gr:{%d+}:')
redis.call('ZCARD', KEYS[2])
local id = redis.call('HGET', KEYS[1], 'lease')
local l = id and read_hash(prefix .. 'lease:' .. id) or {}
if l.state ~= 'held' then
  return { now, {}, false }
end
local told = redis.call('GET', prefix .. 'assignment:' .. id)
if ARGV[2] ~= '' and now + ARGV[2] > tonumber(l.until_at) then
  prolong(prefix .. 'lease:' .. id, KEYS[2], id, ARGV[2], now)
end
return { now, redis.call('HGETALL', prefix .. 'lease:' .. id), told }
