-- Somebody asks for the agent of a place: tells whether there is one, or who is to make it.
-- KEYS[1] hash    gr:{shard}:dispatch:<tenant>:<room>:<agent>
-- KEYS[2] hash    gr:{shard}:people:<tenant>:<room>
-- KEYS[3] zset    gr:{shard}:due:provider
-- KEYS[4] zset    gr:{shard}:due:beat
-- KEYS[5] zset    gr:{shard}:due:store
-- KEYS[6] zset    gr:{shard}:index:<tenant>:dispatches
-- KEYS[7] stream  gr:{shard}:events
-- KEYS[8] hash    gr:{shard}:shard
-- KEYS[9] string  gr:{shard}:metadata:<tenant>:<room>:<agent>
-- KEYS[10] hash   gr:{shard}:once:<digest>   (only where the caller sent an Idempotency-Key)
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] id for a new dispatch   ARGV[3] metadata for a new agent
-- ARGV[4] ttl s   ARGV[5] return policy   ARGV[6] provider
-- ARGV[7] liveness window ms   ARGV[8] how long a report is believed ms
-- ARGV[9] join deadline ms   ARGV[10] claim ms   ARGV[11] 1 where a new one may be made, else 0
-- ARGV[12] longest age s, or empty   ARGV[13] shortest, ARGV[14] longest ttl s of one that adapts, or both empty
-- ARGV[15] digest of the request, ARGV[16] its attempt (see idempotency.lua)
-- Builds: gr:{shard}:id:<id>, gr:{shard}:tombstone:<tenant>:<room>:<provider id>,
--   gr:{shard}:habit:<tenant>:<room>:<agent>
-- Returns: {verdict, now, people, dispatch as field, value, …}; verdict is
--   created (by this request, before) | reused | wait (claimed by another) | verify, create (claimed by the
--   caller) | failed (held, with its error) |
--   absent (one would have to be made, and may not, or its id has ended: nothing was changed)
-- Errors: KEY_REUSED, UNDER_WAY
local now = clock(ARGV[1])
local d, flat = load(KEYS, true)
local people = redis.call('HLEN', KEYS[2])
local once = { key = KEYS[10], body = ARGV[15], attempt = ARGV[16] }

local function answer(verdict)
  return { verdict, now, people, flatten(d) }
end

-- A new dispatch, in place of none, of a failed or ended one, or of one that is not to be reused.
local function create(reason)
  -- What was made late for a dispatch that has ended is found again at the provider: nobody is given its id.
  if ARGV[11] == '0' or redis.call('GET', split_key(KEYS) .. 'id:' .. ARGV[2]) == 'ended' then
    return { 'absent', now, people, flat or {} }
  end
  check_types(KEYS)
  -- What an earlier one left behind is looked for where that was made.
  d = begin_anew(KEYS, d, now, {
    id = ARGV[2], ttl_seconds = ARGV[4], return_policy = ARGV[5], provider = d and d.provider or ARGV[6],
    age_seconds_max = tonumber(ARGV[12]), ttl_seconds_min = tonumber(ARGV[13]), ttl_seconds_max = tonumber(ARGV[14]),
  })
  d.reason = reason
  redis.call('DEL', KEYS[9])
  if ARGV[3] ~= '' then
    redis.call('SET', KEYS[9], ARGV[3])
  end
  claim(KEYS, d, 'create', now, ARGV[10], ARGV[2])
  save(KEYS, d, now, people)
  return answer('create')
end

-- That somebody asks is written at most once a second: most calls change nothing.
local function reuse()
  if now - tonumber(d.last_activity_at) < 1000 then
    return keep(once, { 'reused', now, people, flat })
  end
  check_types(KEYS)
  note_activity(d, now, ARGV[9])
  save(KEYS, d, now, people)
  return keep(once, answer('reused'))
end

local busy = d and is_claimed(d, now)
local refused = replay(once) or take_up(once, now, ARGV[2], busy and d.claim_call)
if refused then
  return refused
elseif not d then
  return create('asked')
end
local held = d.hold_until and now < tonumber(d.hold_until)
if busy and d.claim_call == ARGV[2] then
  return answer(d.claim)
end
if busy and d.claim ~= 'check' and d.claim ~= 'verify' then
  return answer('wait')
end
if held and not (d.provider_id and d.seen_alive_at) then
  return answer('failed')
end
local too_old = is_too_old(d, now)
if d.state == 'failed' or d.state == 'ending' or too_old then
  return create(too_old and 'too_old' or 'asked')
end
local verdict, reason = 'create', nil
if d.provider_id then
  verdict, reason = may_reuse(KEYS, d, now, ARGV[7], ARGV[8], ARGV[9])
end
if reason then
  return create(reason)
elseif verdict == 'reuse' then
  return reuse()
elseif busy then
  return answer('wait')
elseif held then
  return answer('failed')
end
-- To be verified; or its maker was lost, and the same wish goes on under the same id.
check_types(KEYS)
note_activity(d, now, ARGV[9])
claim(KEYS, d, verdict, now, ARGV[10], ARGV[2])
save(KEYS, d, now, people)
return answer(verdict)
