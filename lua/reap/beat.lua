-- Agents that fell silent: those that reported and stopped are looked after at once.
-- KEYS[1] hash    gr:{shard}:shard
-- KEYS[2] zset    gr:{shard}:due:beat
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] prefix of the shard's keys   ARGV[3] term of the leader
-- ARGV[4] how many at most   ARGV[5] how long a report is believed ms
-- Builds: the place's keys of each dispatch that is due (see dispatch/shared.lua)
-- Returns: {how many fell silent, grace left ms, how many were spared by the brake, which is put on now}
-- Errors: STALE_TERM
local BRAKE_MIN = 10
if term_is_over(KEYS[1], ARGV[3]) then
  return refuse('STALE_TERM', 'another leader has begun')
end
local now, believed = clock(ARGV[1]), tonumber(ARGV[5])
local shard = redis.call('HMGET', KEYS[1], 'scanned_at', 'grace_until')
local grace_until = tonumber(shard[2]) or 0
local due = load_due(KEYS[2], ARGV[2], now, ARGV[4])
-- After a break nobody could report: everybody gets one full period.
if was_away(shard[1], now, believed) then
  grace_until = now + believed
  redis.call('HSET', KEYS[1], 'grace_until', grace_until)
end
redis.call('HSET', KEYS[1], 'scanned_at', now)
if now < grace_until then
  return { 0, grace_until - now, 0 }
end
-- The brake: where half of all agents, and ten at least, fall silent at once, it is more likely that they cannot be
-- heard. They get one more period.
local late, reporting = redis.call('ZCOUNT', KEYS[2], '-inf', now), redis.call('ZCARD', KEYS[2])
local braked_until = tonumber(redis.call('HGET', KEYS[1], 'braked_until'))
if late < BRAKE_MIN or late * 2 < reporting then
  if braked_until then
    redis.call('HDEL', KEYS[1], 'braked_until')
  end
elseif not braked_until then
  redis.call('HSET', KEYS[1], 'braked_until', now + believed)
  return { 0, believed, late }
elseif now < braked_until then
  return { 0, braked_until - now, 0 }
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
