-- The usual question, whether the room's agent is still there, has a short answer. It stands before everything
-- else in `dispatch/acquire`, so that it pays for nothing else: no definitions, no hash as a table. Whatever is
-- not plain goes on to the whole script, which decides by the same rules (see `may_reuse`).

if not KEYS[10] then
  local d = redis.call('HMGET', KEYS[1], 'id', 'state', 'reason', 'provider', 'provider_id', 'token', 'created_at',
    'last_activity_at', 'seen_alive_at', 'reported', 'ttl_expires_at', 'ttl_seconds', 'ends_at', 'tries',
    'claim', 'hold_until', 'emptied_at', 'reported_at', 'silent')
  local now = tonumber(ARGV[1])
  if not now then
    local t = redis.call('TIME')
    now = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  local seen, reported_at, ends_at = tonumber(d[9] or ''), tonumber(d[18] or ''), tonumber(d[13] or '')
  local is_plain = (d[2] == 'active' or d[2] == 'idle') and d[5] and not (d[15] or d[16] or d[17] or d[19])
  local is_heard = not d[18] or (d[10] ~= 'closed' and now - reported_at <= tonumber(ARGV[8]))
  if is_plain and is_heard and seen and now - seen <= tonumber(ARGV[7]) and not (ends_at and now >= ends_at) then
    local people, is_noted = redis.call('HLEN', KEYS[2]), now - d[8] < 1000
    -- That somebody asks is written at most once a second; here where it moves no time to live.
    if not is_noted and not d[11] then
      redis.call('HSET', KEYS[1], 'last_activity_at', now)
      d[8], is_noted = tostring(now), true
    end
    if is_noted then
      return { 'seen', now, people, d }
    end
  end
end
