-- Raises and clears the rules of alerts by their values. What is to be told is told to this call and no other.
-- KEYS[1] hash    gr:{0}:shard
-- KEYS[2] stream  gr:{0}:events
-- KEYS[3] hash    gr:{0}:alert:<rule>   (and so on, one for each rule)
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] term of the leader   ARGV[3] which call: the same again is told the same
-- ARGV[4] how long a rule has to be calm before it is cleared ms
-- ARGV[5] for each rule its name, its value, its threshold, and below what it is calm, in thousandths, to the end
-- Flags: allow-oom
-- Returns: {{1 if it is raised and not snoozed, 'raised' | 'cleared' | ''}, …}
-- Errors: STALE_TERM
if term_is_over(KEYS[1], ARGV[2]) then
  return refuse('STALE_TERM', 'another leader has begun')
end
local now, clear_after = clock(ARGV[1]), tonumber(ARGV[4])
redis.call('XLEN', KEYS[2])
local alerts, answer = {}, {}
for i = 3, #KEYS do
  alerts[i] = read_hash(KEYS[i])
end

-- Moves a rule by its value; says what is to be told.
local function move(a, value, threshold, calm)
  local change = ''
  if a.state ~= 'raised' then
    if value > threshold then
      a.state, a.since, a.raised_at, a.told = 'raised', now, now, '0'
    end
  elseif value > calm then
    a.calm_since = ''
  elseif (a.calm_since or '') == '' then
    a.calm_since = now
  end
  if a.state == 'raised' and tonumber(a.calm_since) and now - tonumber(a.calm_since) >= clear_after then
    change = a.told == '1' and 'cleared' or ''
    a.state, a.since, a.cleared_at, a.calm_since = 'ok', now, now, ''
  elseif a.state == 'raised' and a.told ~= '1' and now >= (tonumber(a.snoozed_until) or 0) then
    change, a.told = 'raised', '1'
  end
  return change
end

for i = 3, #KEYS do
  local at, a = 5 + (i - 3) * 4, alerts[i]
  local value, threshold = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  if a.call ~= ARGV[3] then
    a.change = move(a, value, threshold, tonumber(ARGV[at + 3]))
    a.call, a.value, a.threshold, a.judged_at = ARGV[3], value, threshold, now
    a.state = a.state or 'ok'
    local fields = {}
    for field, content in pairs(a) do
      fields[#fields + 1] = field
      fields[#fields + 1] = content
    end
    redis.call('HSET', KEYS[i], unpack(fields))
    if a.change ~= '' then
      redis.call('XADD', KEYS[2], 'MAXLEN', '~', 10000, '*', 'at', now, 'alert', ARGV[at], 'state', a.change,
        'reason', 'judged', 'value_milli', value, 'threshold_milli', threshold)
    end
  end
  local rings = a.state == 'raised' and now >= (tonumber(a.snoozed_until) or 0)
  answer[#answer + 1] = { rings and 1 or 0, a.change }
end
return answer
