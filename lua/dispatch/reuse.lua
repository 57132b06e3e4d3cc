-- The usual question, whether the room's agent is there or on its way, where the answer is plain. Asked before
-- `dispatch/acquire`, which decides all else by the same rules (see `may_reuse`) and costs twice as much.
-- Flags: allow-oom
-- KEYS[1] hash  gr:{shard}:dispatch:<tenant>:<room>:<agent>
-- KEYS[2] hash  gr:{shard}:people:<tenant>:<room>
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] liveness window ms   ARGV[3] how long a report is believed ms
-- ARGV[4] join deadline ms
-- Returns: {now, people, the values of the fields below}; nothing where the whole script has to decide
-- Errors: none
local d = redis.call('HMGET', KEYS[1], 'id', 'state', 'reason', 'provider', 'provider_id', 'token', 'created_at',
  'last_activity_at', 'seen_alive_at', 'reported', 'ttl_expires_at', 'ttl_seconds', 'ends_at', 'tries',
  'claim', 'hold_until', 'emptied_at', 'reported_at', 'silent', 'dispatched_at')
local lives = d[2] == 'active' or d[2] == 'idle' or d[2] == 'starting'
if not lives or not d[5] or d[15] or d[16] or d[17] or d[19] then
  return
end
local now = clock(ARGV[1])
local is_there = d[9] and now - d[9] <= tonumber(ARGV[2]) or not d[9] and now < d[20] + tonumber(ARGV[4])
local is_heard = not d[18] or (d[10] ~= 'closed' and now - d[18] <= tonumber(ARGV[3]))
if not is_there or not is_heard or (d[13] and now >= tonumber(d[13])) then
  return
end
local people = redis.call('HLEN', KEYS[2])
if now - d[8] >= 1000 then
  -- That somebody asks is written at most once a second; here where it moves no time to live.
  if d[11] then
    return
  end
  redis.call('HSET', KEYS[1], 'last_activity_at', now)
  d[8] = tostring(now)
end
return { now, people, d }
