-- The claim's work succeeded: the provider has this dispatch for us.
-- KEYS[1] hash    gr:{shard}:dispatch:<tenant>:<room>:<agent>
-- KEYS[2] hash    gr:{shard}:people:<tenant>:<room>
-- KEYS[3] zset    gr:{shard}:due:provider
-- KEYS[4] zset    gr:{shard}:due:beat
-- KEYS[5] zset    gr:{shard}:due:store
-- KEYS[6] zset    gr:{shard}:index:<tenant>:dispatches
-- KEYS[7] stream  gr:{shard}:events
-- KEYS[8] hash    gr:{shard}:shard
-- KEYS[9] string  gr:{shard}:tombstone:<tenant>:<room>:<provider id>
-- KEYS[10] hash   gr:{shard}:once:<digest>   (only where who asked sent an Idempotency-Key)
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] token of the claim   ARGV[3] id to commit under
-- ARGV[4] provider id   ARGV[5] token that the agent was given   ARGV[6] reason: created, adopted
-- ARGV[7] join deadline ms   ARGV[8] digest of the request that asked (see idempotency.lua)
-- Builds: gr:{shard}:id:<id>
-- Returns: {now, people, dispatch as field, value, …}
-- Errors: NOT_OWNER (undo what was made), TOMBSTONED (the provider's dispatch is being deleted, or is to be: what it
--   was made for has ended)
local now = clock(ARGV[1])
local d = load(KEYS)
local people = redis.call('HLEN', KEYS[2])
if d and d.committed_token == ARGV[2] and d.provider_id == ARGV[4] then
  return { now, people, flatten(d) }
end
if not holds_claim(d, ARGV[2]) or (d.claim ~= 'create' and d.claim ~= 'redispatch') then
  return refuse('NOT_OWNER', 'the claim is over')
end
if redis.call('EXISTS', KEYS[9]) == 1 then
  return refuse('TOMBSTONED', 'the dispatch of the provider is being deleted')
end
-- It was asked for before the end and came after it. Nobody is given what has ended.
if d.id ~= ARGV[3] and redis.call('GET', split_key(KEYS) .. 'id:' .. ARGV[3]) == 'ended' then
  return refuse('TOMBSTONED', 'what the dispatch was made for has ended')
end
bury(KEYS, d)
if d.id ~= ARGV[3] then
  rename(KEYS, d, ARGV[3])
end
unclaim(d)
d.provider_id, d.agent_token, d.committed_token = ARGV[4], ARGV[5], ARGV[2]
d.dispatched_at, d.check_at = now, now + math.min(1000, tonumber(ARGV[7]))
d.error, d.error_detail, d.hold_until, d.failed_token = nil, nil, nil, nil
d.state = 'starting'
d.reason = (d.tries and ARGV[6] == 'created') and 'dispatched_again' or ARGV[6]
if people > 0 then
  d.ttl_expires_at = nil
elseif not d.ttl_expires_at then
  arm(d, now)
end
save(KEYS, d, now, people)
hint(KEYS)
keep({ key = KEYS[10], body = ARGV[8] }, { 'created', now, people, flatten(d) })
return { now, people, flatten(d) }
