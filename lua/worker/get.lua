-- One worker.
-- KEYS[1] hash    gr:{shard}:worker:<worker>
-- ARGV[1] now ms (empty: Redis's)
-- Flags: no-writes
-- Returns: {now, worker as field, value, …}; no field where there is none
-- Errors: none
return { clock(ARGV[1]), redis.call('HGETALL', KEYS[1]) }
