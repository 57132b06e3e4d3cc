-- A look at the provider, and what follows from it. The caller holds a claim to check, or to verify
-- for a caller who waits.
-- KEYS[1] hash    gr:{shard}:dispatch:<tenant>:<room>:<agent>
-- KEYS[2] hash    gr:{shard}:people:<tenant>:<room>
-- KEYS[3] zset    gr:{shard}:due:provider
-- KEYS[4] zset    gr:{shard}:due:beat
-- KEYS[5] zset    gr:{shard}:due:store
-- KEYS[6] zset    gr:{shard}:index:<tenant>:dispatches
-- KEYS[7] stream  gr:{shard}:events
-- KEYS[8] hash    gr:{shard}:shard
-- KEYS[9] zset    gr:{shard}:left:<tenant>:<room>
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] token of the claim
-- ARGV[3] when the look began, ms of Redis's clock   ARGV[4] room exists 0/1
-- ARGV[5] our agent is in the room 0/1   ARGV[6] its job is listed 0/1
-- ARGV[7] id for a new dispatch where a caller waits, else empty
-- ARGV[8] how long a report is believed ms   ARGV[9] join deadline ms   ARGV[10] the same once a job is listed ms
-- ARGV[11] check interval ms   ARGV[12] longest check interval ms   ARGV[13] quick tries
-- ARGV[14] slow try interval ms   ARGV[15] claim ms   ARGV[16] people as sid, seconds of joining, …
-- ARGV[17] how long the look took ms
-- Builds: gr:{shard}:id:<id>, gr:{shard}:tombstone:<tenant>:<room>:<provider id>
-- Flags: allow-oom
-- Returns: {verdict, now, people, dispatch as field, value, …}; verdict is
--   ok (claim given back) | redispatch, end (the caller keeps the claim and does it)
-- Errors: NOT_OWNER
local now, looked_at = clock(ARGV[1]), tonumber(ARGV[3])
local d = load(KEYS)
if holds_claim(d, ARGV[2]) and (d.claim == 'redispatch' or d.claim == 'end') then
  -- Said before, and the answer was lost.
  return { d.claim, now, redis.call('HLEN', KEYS[2]), flatten(d) }
end
local is_held = holds_claim(d, ARGV[2]) and (d.claim == 'check' or d.claim == 'verify')
if not is_held or is_overdue(looked_at + ARGV[17], now) then
  return refuse('NOT_OWNER', 'the claim is over, or the look too old')
end
redis.call('ZCARD', KEYS[9])
local wanted, before = ARGV[7] ~= '', redis.call('HLEN', KEYS[2])
local stayed = reconcile_people(KEYS[2], KEYS[9], cjson.decode(ARGV[16]), looked_at, now)
local people = redis.call('HLEN', KEYS[2])

-- People: an emptied room starts the time to live; one that was empty in between counts as emptied.
local emptied = before > 0 and not stayed
if emptied or (before > 0) ~= (people > 0) then
  tell_others(KEYS, before, people, emptied, now)
end
follow_people(d, before, people, emptied, now)

local deadline = tonumber(d.dispatched_at) + tonumber((d.job_seen or ARGV[6] == '1') and ARGV[10] or ARGV[9])
local look = {
  looked_at = looked_at, room_exists = ARGV[4] == '1', here = ARGV[5] == '1', job_listed = ARGV[6] == '1',
  people = people, deadline = deadline, believed_ms = ARGV[8], interval_ms = ARGV[11], interval_ms_max = ARGV[12],
}
local dead = judge_agent(KEYS, d, now, look)

local function conclude(verdict)
  d.claim_call = nil
  save(KEYS, d, now, people)
  if verdict == 'ok' then
    hint(KEYS)
  end
  return { verdict, now, people, flatten(d) }
end

local function stop(reason)
  bury(KEYS, d)
  d.state, d.reason, d.claim = 'ending', reason, 'end'
  d.claim_until = now + tonumber(ARGV[15])
  return conclude('end')
end

if not wanted and people == 0 then
  if d.ttl_expires_at and now >= tonumber(d.ttl_expires_at) then
    return stop('ttl')
  elseif ARGV[4] == '0' then
    return stop('room_closed')
  end
end
local tries = tonumber(d.tries) or 0
local awaited = people > 0 or wanted or (d.ttl_expires_at and not d.emptied_at)
-- An agent that is replaced because people came back is no failed try.
local returned = dead == 'returned'
if dead and awaited and (wanted or returned or now >= (tonumber(d.try_at) or 0)) then
  bury(KEYS, d)
  d.tries, d.reason, d.claim = returned and tries or tries + 1, dead, 'redispatch'
  d.claim_until = now + tonumber(ARGV[15])
  local quick = d.tries <= tonumber(ARGV[13])
  if not returned then
    d.try_at = now + (quick and 500 * 2 ^ tries or tonumber(ARGV[14]))
  end
  d.degraded = not quick and '1' or nil
  if wanted then
    rename(KEYS, d, ARGV[7])
    d.ends_at = d.ends_at and d.ends_at + now - d.created_at
    d.created_at = now
    if people == 0 then
      arm(d, now)
    end
  end
  return conclude('redispatch')
end
unclaim(d)
-- One that is known to be gone is handed to nobody, also while the next try is not due yet.
if dead then
  d.seen_alive_at, d.reason = d.seen_alive_at and 0, dead
end
d.hold_until, d.error, d.error_detail = nil, nil, nil
-- What asked for a look while this one was under way is not forgotten.
local asked_at, next_at = tonumber(d.check_at), now + pause_until_look(d, now, dead, awaited, look)
d.check_at = asked_at and asked_at > looked_at and math.min(asked_at, next_at) or next_at
return conclude('ok')
