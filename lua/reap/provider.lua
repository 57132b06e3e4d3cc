-- Claims for the leader what is due at the provider: makers that were lost, looks, ends.
-- KEYS[1] hash    gr:{shard}:shard
-- KEYS[2] zset    gr:{shard}:due:provider
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] prefix of the shard's keys   ARGV[3] term of the leader
-- ARGV[4] how many at most   ARGV[5] claim ms
-- Builds: the place's keys of each dispatch that is due (see dispatch/shared.lua)
-- Returns: {{kind, name, now, people, {field, value, …}, due since ms}, …}; kind is create | check | end
-- Errors: STALE_TERM
if term_is_over(KEYS[1], ARGV[3]) then
  return refuse('STALE_TERM', 'another leader has begun')
end
local now = clock(ARGV[1])
local due = redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[4], 'WITHSCORES')
local work = {}
for i = 1, #due, 2 do
  local name = due[i]:match('^dispatch:(.*)$')
  local k = keys_of(ARGV[2], name)
  local d = load(k)
  if not d or not provider_due(d) then
    redis.call('ZREM', KEYS[2], due[i])
  elseif provider_due(d) > now then
    redis.call('ZADD', KEYS[2], provider_due(d), due[i])
  else
    local kind, people = 'check', redis.call('HLEN', k[2])
    if d.state == 'ending' or d.state == 'failed' then
      kind = 'end'
    elseif not d.provider_id and people == 0 and now >= (tonumber(d.ttl_expires_at) or math.huge) then
      kind, d.state, d.reason = 'end', 'ending', 'ttl'
    elseif not d.provider_id then
      kind = 'create'
    end
    claim(d, kind, now, ARGV[5])
    save(k, d, now, people)
    work[#work + 1] = { kind, name, now, people, flatten(d), due[i + 1] }
  end
end
return work
