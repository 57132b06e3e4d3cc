-- Asks whether a call may be made. Closed: yes. Open: no, until its time is over; then a few at a time may, as probes,
-- each with a deadline. Makes the breaker where rules come along. Sent twice, it is the same probe.
-- KEYS[1] hash    gr:{shard}:breaker:<tenant>:<name>
-- KEYS[2] zset    gr:{shard}:index:<tenant>:breakers
-- KEYS[3] stream  gr:{shard}:events
-- KEYS[4] hash    gr:{shard}:shard
-- KEYS[5] hash    gr:{shard}:once:<digest>; left out without an `Idempotency-Key`
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] rules as `name number …` (`new …`: for one that is made only)
-- ARGV[3] id of the permit   ARGV[4] how many breakers of the tenant the shard may have
-- ARGV[5] what the request asks, as a digest
-- Builds: gr:{shard}:breaker:<tenant>:<name> of others in the index
-- Returns: {verdict, generation, state, forced, wait ms, reason of a transition made now, now}; verdict is allowed,
--          probe (wait: until it lapses), refused (wait: until asking again makes sense)
-- Errors: NOT_FOUND, TOO_MANY, KEY_REUSED
local once = { key = KEYS[5], body = ARGV[5] }
local said = replay(once)
if said then
  return said
end
local now = clock(ARGV[1])
local b = load_breaker(KEYS, now, ARGV[2])
if not b then
  return refuse('NOT_FOUND', 'no such breaker')
end
if not written.state and redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) then
  local prefix = KEYS[1]:match('^(gr:{%d+}:breaker:[^:]*:)')
  local forgotten = {}
  for _, name in ipairs(redis.call('ZRANGE', KEYS[2], 0, ARGV[4])) do
    if redis.call('EXISTS', prefix .. name) == 0 then
      forgotten[#forgotten + 1] = name
    end
  end
  if #forgotten == 0 then
    return refuse('TOO_MANY', 'as many breakers as there may be')
  end
  redis.call('ZREM', KEYS[2], unpack(forgotten))
end
settle_breaker(b, now)
if b.state == 'open' and not b.forced and now >= b.open_until then
  move_breaker(b, now, 'half_open', 'probing')
end
local verdict, wait = 'allowed', 0
if b.state == 'open' then
  local until_ms = b.forced and b.forced_until or not b.forced and b.open_until
  verdict, wait = 'refused', until_ms and until_ms - now or b.open_ms
elseif b.state == 'half_open' then
  local probes = fields_of(b, 'probe:')
  local own = 'probe:' .. ARGV[3]
  if b[own] or #probes < b.probes_max then
    b[own] = b[own] or now + b.probe_ms
    verdict, wait = 'probe', b[own] - now
  else
    verdict, wait = 'refused', PROBE_POLL_MS
    for _, field in ipairs(probes) do
      wait = math.min(wait, b[field] - now)
    end
  end
end
if verdict == 'refused' then
  b.refused = b.refused + 1
end
save_breaker(KEYS, b)
-- Who was refused asks again, and then wants another answer.
local answer = answer_of(b, now, verdict, wait)
return verdict == 'refused' and answer or keep(once, answer)
