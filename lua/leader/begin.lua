-- A new leader writes its term to a shard before it acts there: older leaders are refused from now on.
-- KEYS[1] hash    gr:{shard}:shard
-- ARGV[1] term
-- Flags: allow-oom
-- Returns: 1
-- Errors: STALE_TERM
if term_is_over(KEYS[1], ARGV[1]) then
  return refuse('STALE_TERM', 'another leader has begun')
end
redis.call('HSET', KEYS[1], 'term', ARGV[1])
return 1
