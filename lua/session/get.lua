-- One session, by its name or key, with its worker.
-- KEYS[1] hash    gr:{shard}:session:<tenant>:<pool>:<session>
-- ARGV[1] now ms (empty: Redis's)
-- Builds: gr:{shard}:lease:<lease>, gr:{shard}:worker:<worker>
-- Flags: no-writes
-- Returns: {now, {lease as field, value, …}, {worker as field, value, …}}; no field where there is none
-- Errors: none
local prefix = KEYS[1]:match('^gr:{%d+}:')
local lease = prefix .. 'lease:' .. (redis.call('HGET', KEYS[1], 'lease') or '')
local worker = prefix .. 'worker:' .. (redis.call('HGET', lease, 'worker') or '')
return { clock(ARGV[1]), redis.call('HGETALL', lease), redis.call('HGETALL', worker) }
