-- Forgets a group of failures. A second time changes nothing.
-- KEYS[1] hash    gr:{shard}:error:<tenant>:<id>
-- KEYS[2] zset    gr:{shard}:index:<tenant>:errors
-- ARGV[1] id
-- Flags: allow-oom
-- Returns: 1
-- Errors: none
redis.call('ZCARD', KEYS[2])
redis.call('HLEN', KEYS[1])
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
