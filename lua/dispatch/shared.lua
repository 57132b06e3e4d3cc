-- Shared by the scripts that change dispatches; prepended after the prelude.
--
-- A script reads a dispatch with `load`, changes the table, and ends with `save`, which writes
-- what differs, moves the dispatch in the lanes of what is due, and adds an event where state
-- or reason changed. `k` is the list of a place's keys, in this order:
--   1 dispatch  2 people  3 due:provider  4 due:beat  5 due:store  6 index  7 events  8 shard

local TOMBSTONE_SECONDS = 3600
local EVENTS_MAX = 10000

local loaded = {}

-- The keys of a place; all carry the hash tag of `prefix` (`gr:{17}:`).
local function keys_of(prefix, name)
  local tenant, room = name:match('^([^:]*):([^:]*):')
  return {
    prefix .. 'dispatch:' .. name,
    prefix .. 'people:' .. tenant .. ':' .. room,
    prefix .. 'due:provider',
    prefix .. 'due:beat',
    prefix .. 'due:store',
    prefix .. 'index:' .. tenant .. ':dispatches',
    prefix .. 'events',
    prefix .. 'shard',
  }
end

-- `gr:{17}:` and `<tenant>:<room>:<agent>` of a dispatch's key.
local function split_key(k)
  return k[1]:match('^(gr:{%d+}:)dispatch:(.*)$')
end

local function tombstone_key(k, provider_id)
  local prefix, name = split_key(k)
  return prefix .. 'tombstone:' .. name:match('^[^:]*:[^:]*') .. ':' .. provider_id
end

-- Fails where a key of the place is of another type: before anything is written, since a script
-- that fails halfway keeps its first writes.
local function check_types(k)
  redis.call('HLEN', k[2])
  for lane = 3, 6 do
    redis.call('ZCARD', k[lane])
  end
  redis.call('XLEN', k[7])
  redis.call('HLEN', k[8])
end

-- The dispatch as a table, or nil. What only reads, mostly, checks the types itself before it writes.
local function load(k, unchecked)
  if not unchecked then
    check_types(k)
  end
  local d, flat = read_hash(k[1])
  if not d.id then
    return nil
  end
  loaded[d] = copy_of(d)
  return d, flat
end

-- What the state follows from, once a dispatch is committed.
local function settle(d, people)
  if d.state == 'ending' or d.state == 'failed' or not d.dispatched_at then
    return
  end
  if d.provider_id and d.seen_alive_at then
    d.state = people > 0 and 'active' or 'idle'
  else
    d.state = d.degraded and 'degraded' or 'starting'
  end
end

-- What is due in a lane, all of it read before anything is written.
local function load_due(lane, prefix, now, limit)
  local due, places = redis.call('ZRANGE', lane, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES'), {}
  for i = 1, #due, 2 do
    local k = keys_of(prefix, due[i]:match('^dispatch:(.*)$'))
    places[#places + 1] = { member = due[i], at = due[i + 1], k = k, d = load(k) }
  end
  return places
end

-- Whether it has reached the age at which it ends, whoever is there.
local function is_too_old(d, now)
  return d.ends_at and now >= tonumber(d.ends_at)
end

-- When somebody must next do something for the dispatch at the provider.
local function provider_due(d)
  if d.claim then
    return tonumber(d.claim_until)
  end
  local due = sooner(sooner(d.ttl_expires_at, d.check_at), d.ends_at)
  -- After a failure not even a time to live that is over is looked after before the pause is.
  return due and math.max(due, tonumber(d.retry_at) or 0)
end

local function move(lane, member, before, after)
  if after == before then
    return
  end
  if after then
    redis.call('ZADD', lane, after, member)
  else
    redis.call('ZREM', lane, member)
  end
end

local function add_event(k, d, now)
  local _, name = split_key(k)
  local tenant, room, agent = name:match('^([^:]*):([^:]*):([^:]*)$')
  redis.call('XADD', k[7], 'MAXLEN', '~', EVENTS_MAX, '*', 'at', now, 'id', d.id, 'tenant', tenant, 'room', room,
    'agent', agent, 'state', d.state, 'reason', d.reason or '', 'provider_id', d.provider_id or '')
end

-- Wakes those who wait for this place, on every replica. Losing it costs a poll.
local function hint(k)
  local prefix, name = split_key(k)
  redis.call('PUBLISH', prefix .. 'hints', name)
end

local function save(k, d, now, people)
  local before = loaded[d] or {}
  settle(d, people)
  write_changes(k[1], before, d)
  local _, name = split_key(k)
  local member = 'dispatch:' .. name
  move(k[3], member, provider_due(before), provider_due(d))
  move(k[5], member, tonumber(before.forget_at), tonumber(d.forget_at))
  if before.reported_at and not d.reported_at then
    redis.call('ZREM', k[4], member)
  end
  if not before.id then
    redis.call('ZADD', k[6], 0, name:match('^[^:]*:(.*)$'))
  end
  if d.state ~= before.state or d.reason ~= before.reason or d.provider_id ~= before.provider_id then
    add_event(k, d, now)
  end
end

-- Takes the dispatch for work outside Redis: the one claim of the house. `call` names the call that
-- takes it, where a caller who sends it twice is to get the same answer.
local function claim(k, d, kind, now, claim_ms, call)
  -- After a break the dispatch may be an older copy of itself; the floor is what replicas had seen by then.
  local floor = tonumber(redis.call('HGET', k[8], 'token_floor')) or 0
  d.token = next_token(math.max(tonumber(d.token) or 0, floor), now)
  d.claim, d.claim_call = kind, call
  d.claim_until = now + tonumber(claim_ms)
  d.retry_at = nil
end

local function unclaim(d)
  d.claim, d.claim_until, d.claim_call = nil, nil, nil
end

local function holds_claim(d, token)
  return d and d.claim and d.token == token
end

local function is_claimed(d, now)
  return d.claim and now < tonumber(d.claim_until)
end

-- Takes the provider's dispatch away from ours, and marks it dead before it is deleted there.
local function bury(k, d)
  if d.provider_id then
    redis.call('SET', tombstone_key(k, d.provider_id), d.id, 'EX', TOMBSTONE_SECONDS)
  end
  d.provider_id, d.agent_token, d.seen_alive_at, d.job_seen = nil, nil, nil, nil
  d.reported, d.reported_at, d.silent, d.emptied_at = nil, nil, nil, nil
end

-- Gives the dispatch another id: what is asked for from now on is another agent.
local function rename(k, d, id)
  local prefix, name = split_key(k)
  redis.call('SET', prefix .. 'id:' .. d.id, 'ended', 'EX', TOMBSTONE_SECONDS)
  redis.call('SET', prefix .. 'id:' .. id, name)
  d.id = id
end

-- The time to live runs from now on.
local function arm(d, now)
  d.ttl_expires_at = now + time_to_live(d)
end

-- A dispatch that begins anew under another id, in place of `d` if there is one. `wish` holds its
-- id, ttl_seconds, return_policy and provider; age_seconds_max where there is one; ttl_seconds_min and
-- ttl_seconds_max where its time to live adapts.
local function begin_anew(k, d, now, wish)
  local fresh = { id = wish.id }
  if d then
    bury(k, d)
    rename(k, d, wish.id)
    fresh.token = d.token
    loaded[fresh] = loaded[d]
  else
    local prefix, name = split_key(k)
    redis.call('SET', prefix .. 'id:' .. wish.id, name)
  end
  fresh.state, fresh.created_at, fresh.last_activity_at = 'creating', now, now
  fresh.ttl_seconds, fresh.return_policy, fresh.provider = wish.ttl_seconds, wish.return_policy, wish.provider
  fresh.ends_at = wish.age_seconds_max and now + wish.age_seconds_max * 1000
  if wish.ttl_seconds_max then
    fresh.ttl_seconds_min, fresh.ttl_seconds_max = wish.ttl_seconds_min, wish.ttl_seconds_max
    recall_habit(k, d, fresh, now)
  end
  return fresh
end

-- Forgets the dispatch; its id is remembered as ended for an hour.
local function forget(k, d, now)
  local prefix, name = split_key(k)
  local tenant, rest = name:match('^([^:]*):(.*)$')
  local room = rest:match('^[^:]*')
  local member = 'dispatch:' .. name
  keep_habit(k, d)
  redis.call('DEL', k[1], prefix .. 'metadata:' .. name)
  redis.call('SET', prefix .. 'id:' .. d.id, 'ended', 'EX', TOMBSTONE_SECONDS)
  for lane = 3, 5 do
    redis.call('ZREM', k[lane], member)
  end
  -- A claim of what comes next in this place must not get a token that was used before.
  local floor = tonumber(redis.call('HGET', k[8], 'token_floor')) or 0
  redis.call('HSET', k[8], 'token_floor', math.max(floor, tonumber(d.token)))
  redis.call('ZREM', k[6], rest)
  if #redis.call('ZRANGE', k[6], '[' .. room .. ':', '(' .. room .. ';', 'BYLEX', 'LIMIT', 0, 1) == 0 then
    redis.call('DEL', k[2], prefix .. 'left:' .. tenant .. ':' .. room)
  end
  d.state = 'ended'
  add_event(k, d, now)
  hint(k)
end

-- Somebody is interested: a time to live that runs starts anew, and its end is looked at in time.
local function note_activity(d, now, look_within_ms)
  d.last_activity_at = now
  if d.ttl_expires_at then
    arm(d, now)
    d.check_at = sooner(d.check_at, now + tonumber(look_within_ms))
  end
end

-- What people's coming and going means for a dispatch: nobody there starts the time to live.
local function follow_people(d, before, people, emptied, now)
  if people > 0 then
    if before == 0 then
      learn_return(d, now)
    end
    d.ttl_expires_at = nil
  elseif before > 0 then
    d.left_at = d.ttl_seconds_max and now
    arm(d, now)
  end
  if emptied then
    d.emptied_at = now
  end
end

local function has_agent(d)
  return d and d.dispatched_at and d.state ~= 'ending' and d.state ~= 'failed'
end

-- The dispatches of a room: at most 64 are looked after.
local function members_of(index_key, room)
  return redis.call('ZRANGE', index_key, '[' .. room .. ':', '(' .. room .. ';', 'BYLEX', 'LIMIT', 0, 64)
end
