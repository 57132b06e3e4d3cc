-- Takes in how calls ended, in their order. What belongs to another generation, or to a probe that lapsed, changes
-- nothing; nor does what its reporter has said before.
-- KEYS[1] hash    gr:{shard}:breaker:<tenant>:<name>
-- KEYS[2] zset    gr:{shard}:index:<tenant>:breakers
-- KEYS[3] stream  gr:{shard}:events
-- KEYS[4] hash    gr:{shard}:shard
-- KEYS[5] hash    gr:{shard}:once:<digest>; left out without an `Idempotency-Key`
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] rules as `name number …` (empty: as they are)
-- ARGV[3] generation that the calls were permitted in   ARGV[4] id of the permit of a probe (empty: none)
-- ARGV[5] ends of the calls, as `12s1f`: s is a success, f a failure, w and x the same of slow ones
-- ARGV[6] how long the call took ms, where the script is to judge whether that is slow (empty: it is said)
-- ARGV[7] jitter: how much shorter it is open than it might be, in thousandths
-- ARGV[8] reporter (empty: none)   ARGV[9] number of the report, which grows with each of the reporter
-- ARGV[10] how many calls the reporter refused by itself   ARGV[11] what the request asks, as a digest
-- Flags: allow-oom
-- Returns: {verdict, generation, state, forced, wait ms, reason of a transition made now, now}; verdict is counted,
--          stale (it changed nothing); wait: until a call may be asked for, where it is open
-- Errors: NOT_FOUND, KEY_REUSED
local once = { key = KEYS[5], body = ARGV[11] }
local said = replay(once)
if said then
  return said
end
local now = clock(ARGV[1])
local b = load_breaker(KEYS, now, ARGV[2])
if not b then
  return refuse('NOT_FOUND', 'no such breaker')
end
settle_breaker(b, now)
local reporter, verdict = 'reporter:' .. ARGV[8], 'stale'
if ARGV[8] == '' or tonumber(ARGV[9]) > (b[reporter] or 0) then
  b.refused = b.refused + tonumber(ARGV[10])
  if ARGV[8] ~= '' then
    b[reporter] = tonumber(ARGV[9])
    local reporters = fields_of(b, 'reporter:')
    if #reporters > REPORTERS_MAX then
      -- Numbers are like times: the lowest has been silent for the longest.
      table.sort(reporters, function(x, y) return b[x] < b[y] end)
      b[reporters[1]] = nil
    end
  end
  local generation = b.generation
  if tonumber(ARGV[3]) == generation then
    local is_slow = ARGV[6] ~= '' and tonumber(ARGV[6]) >= b.slow_ms
    local probe, jitter = 'probe:' .. ARGV[4], tonumber(ARGV[7])
    for count, kind in ARGV[5]:gmatch('(%d+)(%a)') do
      kind = is_slow and (kind == 's' and 'w' or 'x') or kind
      if b.generation == generation and count_run(b, now, tonumber(count), kind, probe, jitter) then
        verdict = 'counted'
      end
    end
  end
end
save_breaker(KEYS, b)
local until_ms = b.state == 'open' and (b.forced and (b.forced_until or now + b.open_ms) or b.open_until)
return keep(once, answer_of(b, now, verdict, until_ms and math.max(0, until_ms - now) or 0))
