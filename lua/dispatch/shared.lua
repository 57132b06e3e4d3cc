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
  local before = {}
  for field, value in pairs(d) do
    before[field] = value
  end
  loaded[d] = before
  return d, flat
end

local function flatten(d)
  local flat = {}
  for field, value in pairs(d) do
    flat[#flat + 1] = field
    flat[#flat + 1] = tostring(value)
  end
  return flat
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

-- When somebody must next do something for the dispatch at the provider.
local function provider_due(d)
  if d.claim then
    return tonumber(d.claim_until)
  end
  local due = sooner(d.ttl_expires_at, d.check_at)
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
  local set, gone = {}, {}
  for field, value in pairs(d) do
    if tostring(value) ~= before[field] then
      set[#set + 1] = field
      set[#set + 1] = tostring(value)
    end
  end
  for field in pairs(before) do
    if d[field] == nil then
      gone[#gone + 1] = field
    end
  end
  if #set > 0 then
    redis.call('HSET', k[1], unpack(set))
  end
  if #gone > 0 then
    redis.call('HDEL', k[1], unpack(gone))
  end
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
local function claim(d, kind, now, claim_ms, call)
  d.token = next_token(d.token, now)
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

-- Forgets the dispatch; its id is remembered as ended for an hour.
local function forget(k, d, now)
  local prefix, name = split_key(k)
  local tenant, rest = name:match('^([^:]*):(.*)$')
  local room = rest:match('^[^:]*')
  local member = 'dispatch:' .. name
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

-- Whether the last report of an agent still counts. After a break (nobody scanned this shard for
-- longer than a report is believed) it counts until the grace that the next scan gives is over.
local function is_believed(k, d, now, believed_ms)
  if not d.reported_at or d.reported == 'closed' or d.silent then
    return false
  end
  if now - tonumber(d.reported_at) <= tonumber(believed_ms) then
    return true
  end
  local shard = redis.call('HMGET', k[8], 'scanned_at', 'grace_until')
  return now - (tonumber(shard[1]) or 0) > tonumber(believed_ms) or now < (tonumber(shard[2]) or 0)
end

-- Whether who comes back to the emptied room may be given the agent that stayed.
local function may_return(k, d, now, believed_ms)
  if d.return_policy == 'always' then
    return true
  end
  return d.return_policy ~= 'never' and is_believed(k, d, now, believed_ms)
end

-- Nobody is there any more: the time to live runs.
local function arm(d, now)
  d.ttl_expires_at = now + tonumber(d.ttl_seconds) * 1000
end

-- People are a hash of sid to `<seconds of joining>:<ms when we learned of it>`; more than this many
-- in one room are not kept one by one.
local PEOPLE_MAX = 1000

-- A sid that left never comes back: remembered for ten minutes, so that a late `joined` makes no ghost.
local function remember_left(left_key, sid, now)
  redis.call('ZADD', left_key, now, sid)
  redis.call('ZREMRANGEBYSCORE', left_key, '-inf', now - 600000)
  redis.call('EXPIRE', left_key, 600)
end

-- Whether everybody in the room joined in or after that second.
local function all_joined_since(people_key, second)
  local rest = redis.call('HVALS', people_key)
  for _, value in ipairs(rest) do
    if tonumber(value:match('^-?%d+')) < second then
      return false
    end
  end
  return #rest > 0
end

-- Makes the set of people what the look showed. Who was learnt of after the look began stays.
-- Returns whether anybody was there before and after.
local function reconcile_people(people_key, left_key, listed, looked_at, now)
  local known, there, stayed = read_hash(people_key), {}, false
  local room = PEOPLE_MAX - redis.call('HLEN', people_key)
  for i = 1, #listed, 2 do
    local sid, joined_at = listed[i], listed[i + 1]
    there[sid] = true
    if known[sid] then
      stayed = true
    elseif room > 0 and not redis.call('ZSCORE', left_key, sid) then
      redis.call('HSET', people_key, sid, joined_at .. ':' .. now)
      room = room - 1
    end
  end
  for sid, value in pairs(known) do
    if not there[sid] then
      if tonumber(value:match(':(%d+)$')) < looked_at then
        redis.call('HDEL', people_key, sid)
        remember_left(left_key, sid, now)
      else
        stayed = true
      end
    end
  end
  return stayed
end

-- The dispatches of a room: at most 64 are looked after.
local function members_of(index_key, room)
  return redis.call('ZRANGE', index_key, '[' .. room .. ':', '(' .. room .. ';', 'BYLEX', 'LIMIT', 0, 64)
end

-- What people's coming and going means for a dispatch: nobody there starts the time to live.
local function follow_people(d, before, people, emptied, now)
  if people > 0 then
    d.ttl_expires_at = nil
  elseif before > 0 then
    arm(d, now)
  end
  if emptied then
    d.emptied_at = now
  end
end

local function has_agent(d)
  return d and d.dispatched_at and d.state ~= 'ending' and d.state ~= 'failed'
end

-- A look of one dispatch showed that people came or went: the others of the room learn it, too,
-- since their own look finds nothing changed.
local function tell_others(k, before, people, emptied, now)
  local prefix, own = split_key(k)
  local tenant, room = own:match('^([^:]*):([^:]*):')
  for _, member in ipairs(members_of(k[6], room)) do
    local name = tenant .. ':' .. member
    local other = keys_of(prefix, name)
    local d = name ~= own and load(other)
    if has_agent(d) then
      follow_people(d, before, people, emptied, now)
      d.check_at = people > 0 and emptied and now or d.check_at
      save(other, d, now, people)
    end
  end
end

-- What a look says of the agent: nil where it is well or still on its way, else why it is not.
-- What the agent itself reports beats what the provider believes.
local function judge_agent(k, d, now, look)
  local here = look.here or (tonumber(d.seen_alive_at) or 0) > look.looked_at
  if look.job_listed then
    d.job_seen = '1'
  end
  if d.reported == 'closed' then
    return 'agent_closed'
  elseif d.silent then
    return 'agent_silent'
  elseif not here and d.seen_alive_at then
    return 'agent_gone'
  elseif not here and not look.room_exists then
    return 'room_closed'
  elseif not here then
    return now >= look.deadline and 'join_deadline' or nil
  end
  if not d.seen_alive_at then
    d.reason, d.degraded = 'agent_seen', nil
  elseif now - tonumber(d.dispatched_at) > 30000 then
    d.tries, d.try_at, d.failures = nil, nil, nil
  end
  d.seen_alive_at = math.max(tonumber(d.seen_alive_at) or 0, look.looked_at)
  if look.people > 0 and d.emptied_at then
    if not may_return(k, d, now, look.believed_ms) then
      return 'returned'
    end
    d.emptied_at = nil
  end
  return nil
end
