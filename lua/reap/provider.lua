-- Claims for the leader what is due at the provider: makers that were lost, looks, ends.
-- KEYS[1] hash    gr:{shard}:shard
-- KEYS[2] zset    gr:{shard}:due:provider
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] prefix of the shard's keys   ARGV[3] term of the leader
-- ARGV[4] how many at most   ARGV[5] claim ms
-- Builds: the place's keys of each dispatch that is due (see dispatch/shared.lua)
-- Flags: allow-oom
-- Returns: {{kind, name, now, people, {field, value, …}, due since ms}, …}; kind is create | check | end
-- Errors: STALE_TERM
if term_is_over(KEYS[1], ARGV[3]) then
  return refuse('STALE_TERM', 'another leader has begun')
end
local now = clock(ARGV[1])
local work = {}
for _, place in ipairs(load_due(KEYS[2], ARGV[2], now, ARGV[4])) do
  local k, d = place.k, place.d
  if not d or not provider_due(d) then
    redis.call('ZREM', KEYS[2], place.member)
  elseif provider_due(d) > now then
    redis.call('ZADD', KEYS[2], provider_due(d), place.member)
  else
    local kind, people = 'check', redis.call('HLEN', k[2])
    if d.state == 'ending' or d.state == 'failed' then
      kind = 'end'
    elseif is_too_old(d, now) then
      kind = 'end'
      bury(k, d)
      d.state, d.reason = 'ending', 'too_old'
    elseif not d.provider_id and people == 0 and now >= (tonumber(d.ttl_expires_at) or math.huge) then
      -- A look first: somebody may have come whom nobody told us of.
      kind = d.dispatched_at and 'check' or 'create'
    elseif not d.provider_id then
      kind = 'create'
    end
    claim(k, d, kind, now, ARGV[5])
    save(k, d, now, people)
    work[#work + 1] = { kind, place.member:match('^dispatch:(.*)$'), now, people, flatten(d), place.at }
  end
end
return work
