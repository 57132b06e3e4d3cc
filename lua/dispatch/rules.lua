-- What the scripts of dispatches decide by; prepended after `shared.lua`. Nothing here writes to Redis,
-- save the set of people, which is made what was seen.

-- Whether what was seen by then is told too late to count: Redis may carry a call out long after its caller gave up.
local function is_overdue(seen_at, now)
  return now - seen_at > 5000
end

-- Whether the last report of an agent still counts. After a break it counts until the grace that the next
-- scan gives is over.
local function is_believed(k, d, now, believed_ms)
  if not d.reported_at or d.reported == 'closed' or d.silent then
    return false
  end
  if now - tonumber(d.reported_at) <= tonumber(believed_ms) then
    return true
  end
  local shard = redis.call('HMGET', k[8], 'scanned_at', 'grace_until')
  return was_away(shard[1], now, believed_ms) or now < (tonumber(shard[2]) or 0)
end

-- Whether who comes back to the emptied room may be given the agent that stayed.
local function may_return(k, d, now, believed_ms)
  if d.return_policy == 'always' then
    return true
  end
  return d.return_policy ~= 'never' and is_believed(k, d, now, believed_ms)
end

-- Whether who asks now may have the dispatch that is there: 'reuse', 'verify' (its agent was not seen
-- for longer than `window_ms`), or nil and the reason why it may not.
local function may_reuse(k, d, now, window_ms, believed_ms, join_ms)
  if d.emptied_at and not may_return(k, d, now, believed_ms) then
    return nil, 'returned'
  end
  if d.reported_at and not is_believed(k, d, now, believed_ms) then
    return nil, d.reported == 'closed' and 'agent_closed' or 'agent_silent'
  end
  local seen = tonumber(d.seen_alive_at)
  local joining = not seen and now < tonumber(d.dispatched_at) + tonumber(join_ms)
  if joining or (seen and now - seen <= tonumber(window_ms)) then
    return 'reuse'
  end
  return 'verify'
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

-- How long until the next look at the provider. `look` as for judge_agent, with the intervals.
local function pause_until_look(d, now, dead, awaited, look)
  if dead and awaited then
    return math.max(tonumber(d.try_at) - now, 0)
  elseif not dead and not d.seen_alive_at then
    -- 1, 2, 4 … s after the dispatch, and at the deadline.
    return math.min(math.max(now - tonumber(d.dispatched_at), 1000), math.max(look.deadline - now, 1000))
  elseif look.people > 0 then
    return tonumber(look.interval_ms)
  end
  return math.min(math.max(now - tonumber(d.last_activity_at), 1000), tonumber(look.interval_ms_max))
end

-- People are a hash of sid to `<seconds of joining>:<ms when we learned of it>`; more than this many
-- in one room are not kept one by one.
local PEOPLE_MAX = 1000
-- For so long after a person left, a list that still shows them is taken to lag behind.
local LIST_LAG_MS = 5000

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
    elseif room > 0 and (tonumber(redis.call('ZSCORE', left_key, sid)) or 0) < looked_at - LIST_LAG_MS then
      -- A list that was taken well after the leaving knows better: an earlier one had missed somebody.
      redis.call('ZREM', left_key, sid)
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
