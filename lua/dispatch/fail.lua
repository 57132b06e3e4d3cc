-- The claim's work failed. The error is held for a moment, so that all who wait get one answer.
-- KEYS[1] hash    gr:{shard}:dispatch:<tenant>:<room>:<agent>
-- KEYS[2] hash    gr:{shard}:people:<tenant>:<room>
-- KEYS[3] zset    gr:{shard}:due:provider
-- KEYS[4] zset    gr:{shard}:due:beat
-- KEYS[5] zset    gr:{shard}:due:store
-- KEYS[6] zset    gr:{shard}:index:<tenant>:dispatches
-- KEYS[7] stream  gr:{shard}:events
-- KEYS[8] hash    gr:{shard}:shard
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] token of the claim   ARGV[3] error code   ARGV[4] error detail
-- ARGV[5] hold ms   ARGV[6] 1 where the provider may have done the work all the same, else 0
-- ARGV[7] longest time until the next try ms
-- Flags: allow-oom
-- Returns: {now, people, dispatch as field, value, …}
-- Errors: NOT_OWNER
local now = clock(ARGV[1])
local d = load(KEYS)
local people = redis.call('HLEN', KEYS[2])
if d and not d.claim and d.failed_token == ARGV[2] then
  return { now, people, flatten(d) }
end
if not holds_claim(d, ARGV[2]) then
  return refuse('NOT_OWNER', 'the claim is over')
end
unclaim(d)
d.failed_token, d.error, d.error_detail = ARGV[2], ARGV[3], ARGV[4]
d.hold_until = now + tonumber(ARGV[5])
d.failures = (tonumber(d.failures) or 0) + 1
local pause = math.min(1000 * 2 ^ math.min(d.failures, 16), tonumber(ARGV[7]))
if d.state == 'creating' and not d.dispatched_at then
  d.state, d.reason = 'failed', 'creation_failed'
  if ARGV[6] == '1' then
    -- What may have been made is looked for and deleted before the dispatch is forgotten.
    d.unsure, d.check_at = '1', now + pause
  else
    d.forget_at = now + 60000
  end
else
  d.reason = d.state == 'ending' and 'end_failed' or 'provider_failed'
  d.check_at = now + pause
end
d.retry_at = now + pause
save(KEYS, d, now, people)
hint(KEYS)
return { now, people, flatten(d) }
