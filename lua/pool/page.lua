-- Names of pools: of a tenant, or all of a shard.
-- KEYS[1] zset    gr:{shard}:index:<tenant>:pools, gr:{shard}:index:pools
-- ARGV[1] where to begin (a lower bound by name)   ARGV[2] how many at most
-- Flags: no-writes
-- Returns: the names
-- Errors: none
return redis.call('ZRANGE', KEYS[1], ARGV[1], '+', 'BYLEX', 'LIMIT', 0, ARGV[2])
