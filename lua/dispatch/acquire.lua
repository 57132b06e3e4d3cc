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
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] id for a new dispatch   ARGV[3] metadata for a new agent
-- ARGV[4] ttl s   ARGV[5] return policy   ARGV[6] provider
-- ARGV[7] liveness window ms   ARGV[8] how long a report is believed ms
-- ARGV[9] join deadline ms   ARGV[10] claim ms
-- Builds: gr:{shard}:id:<id>, gr:{shard}:tombstone:<tenant>:<room>:<provider id>
-- Returns: {verdict, now, people, dispatch as field, value, …}; verdict is
--   reused | wait (claimed by another) | verify, create (claimed by the caller) | failed (held, with its error)
-- Errors: none
local now = clock(ARGV[1])
local d, flat = load(KEYS, true)
local people = redis.call('HLEN', KEYS[2])

local function answer(verdict)
  return { verdict, now, people, flatten(d) }
end

-- A new dispatch, in place of none, of a failed or ended one, or of one that is not to be reused.
local function create(reason)
  check_types(KEYS)
  if d then
    bury(KEYS, d)
    rename(KEYS, d, ARGV[2])
  else
    d = { id = ARGV[2], token = redis.call('HGET', KEYS[8], 'token_floor') or nil }
    local prefix, name = split_key(KEYS)
    redis.call('SET', prefix .. 'id:' .. d.id, name)
  end
  d.state, d.reason, d.created_at, d.last_activity_at = 'creating', reason, now, now
  d.ttl_seconds, d.return_policy, d.provider = ARGV[4], ARGV[5], ARGV[6]
  d.tries, d.try_at, d.failures, d.degraded = nil, nil, nil, nil
  d.dispatched_at, d.ttl_expires_at, d.check_at = nil, nil, nil
  d.error, d.error_detail, d.hold_until, d.forget_at, d.unsure = nil, nil, nil, nil, nil
  if ARGV[3] ~= '' then
    redis.call('SET', KEYS[9], ARGV[3])
  else
    redis.call('DEL', KEYS[9])
  end
  claim(d, 'create', now, ARGV[10], ARGV[2])
  save(KEYS, d, now, people)
  return answer('create')
end

-- The caller takes the dispatch as it is, to make or to verify it. That somebody asks is activity,
-- or the time to live could end under the caller's hands.
local function take(kind)
  check_types(KEYS)
  d.last_activity_at = now
  if d.ttl_expires_at then
    arm(d, now)
  end
  claim(d, kind, now, ARGV[10], ARGV[2])
  save(KEYS, d, now, people)
  return answer(kind)
end

local function reuse()
  if now - tonumber(d.last_activity_at) >= 1000 then
    redis.call('ZCARD', KEYS[3])
    d.last_activity_at = now
    redis.call('HSET', KEYS[1], 'last_activity_at', now)
    if d.ttl_expires_at then
      arm(d, now)
      redis.call('HSET', KEYS[1], 'ttl_expires_at', d.ttl_expires_at)
      if not d.claim then
        local _, name = split_key(KEYS)
        redis.call('ZADD', KEYS[3], provider_due(d), 'dispatch:' .. name)
      end
    end
    return answer('reused')
  end
  return { 'reused', now, people, flat }
end

if not d then
  return create('asked')
end
local busy = is_claimed(d, now)
if busy and d.claim_call == ARGV[2] then
  return answer(d.claim)
end
if busy and d.claim ~= 'check' and d.claim ~= 'verify' then
  return answer('wait')
end
if d.hold_until and now < tonumber(d.hold_until) and not (d.provider_id and d.seen_alive_at) then
  return answer('failed')
end
if d.state == 'failed' or d.state == 'ending' then
  return create('asked')
end
if not d.provider_id then
  -- Its maker was lost. The same wish goes on under the same id.
  return take('create')
end
if d.emptied_at and not may_return(KEYS, d, now, ARGV[8]) then
  return create('returned')
end
if d.reported_at and not is_believed(KEYS, d, now, ARGV[8]) then
  return create(d.reported == 'closed' and 'agent_closed' or 'agent_silent')
end
local seen = tonumber(d.seen_alive_at)
local joining = not seen and now < tonumber(d.dispatched_at) + tonumber(ARGV[9])
if joining or (seen and now - seen <= tonumber(ARGV[7])) then
  return reuse()
end
if busy then
  return answer('wait')
end
if d.hold_until and now < tonumber(d.hold_until) then
  return answer('failed')
end
return take('verify')
