-- Forgets what has only to be forgotten: creations that failed and left nothing behind.
-- KEYS[1] hash    gr:{shard}:shard
-- KEYS[2] zset    gr:{shard}:due:store
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] prefix of the shard's keys   ARGV[3] term of the leader
-- ARGV[4] how many at most
-- Builds: the place's keys of each dispatch that is due (see dispatch/shared.lua)
-- Flags: allow-oom
-- Returns: how many were forgotten
-- Errors: STALE_TERM
if term_is_over(KEYS[1], ARGV[3]) then
  return refuse('STALE_TERM', 'another leader has begun')
end
local now, forgotten = clock(ARGV[1]), 0
for _, place in ipairs(load_due(KEYS[2], ARGV[2], now, ARGV[4])) do
  redis.call('ZREM', KEYS[2], place.member)
  local k, d = place.k, place.d
  if d and d.state == 'failed' and not d.claim and d.forget_at and tonumber(d.forget_at) <= now then
    forget(k, d, now)
    forgotten = forgotten + 1
  end
end
return forgotten
