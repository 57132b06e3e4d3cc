-- Agents that fell silent: those that reported and stopped are looked after at once.
-- KEYS[1] hash    gr:{shard}:shard
-- KEYS[2] zset    gr:{shard}:due:beat
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] prefix of the shard's keys   ARGV[3] term of the leader
-- ARGV[4] how many at most   ARGV[5] how long a report is believed ms
-- Builds: the place's keys of each dispatch that is due (see dispatch/shared.lua)
-- Returns: {how many fell silent, grace left ms, how many were spared by the brake, which is put on now}
-- Errors: STALE_TERM
if term_is_over(KEYS[1], ARGV[3]) then
  return refuse('STALE_TERM', 'another leader has begun')
end
local now, believed = clock(ARGV[1]), tonumber(ARGV[5])
local due = load_due(KEYS[2], ARGV[2], now, ARGV[4])
local wait, braked = spared(KEYS[1], KEYS[2], '', now, believed)
if wait then
  return { 0, wait, braked }
end
local silent = 0
for _, place in ipairs(due) do
  redis.call('ZREM', KEYS[2], place.member)
  local k, d = place.k, place.d
  if d and d.reported_at and d.provider_id then
    d.silent, d.check_at = '1', now
    d.reason = 'agent_silent'
    save(k, d, now, redis.call('HLEN', k[2]))
    silent = silent + 1
  end
end
return { silent, 0, 0 }
