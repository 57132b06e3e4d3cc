-- A webhook of the provider about a room: people are a set of sids, and a sid that left stays gone.
-- KEYS[1] zset    gr:{shard}:index:<tenant>:dispatches
-- KEYS[2] hash    gr:{shard}:people:<tenant>:<room>
-- KEYS[3] zset    gr:{shard}:left:<tenant>:<room>
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] prefix of the shard's keys   ARGV[3] tenant   ARGV[4] room
-- ARGV[5] joined | left | look   ARGV[6] sid   ARGV[7] joined at s   ARGV[8] when it happened s
-- ARGV[9] how long a report is believed ms
-- Builds: the place's keys of each dispatch of the room (see dispatch/shared.lua)
-- Returns: how many dispatches it concerned
-- Errors: none
local now = clock(ARGV[1])
local places = {}
for i, member in ipairs(members_of(KEYS[1], ARGV[4])) do
  local k = keys_of(ARGV[2], ARGV[3] .. ':' .. member)
  places[i] = { k = k, d = load(k) }
end
if #places == 0 then
  return 0
end
local kind, sid, happened_at = ARGV[5], ARGV[6], tonumber(ARGV[8])
local look, late = kind == 'look', now / 1000 - happened_at > 60
local before, known = redis.call('HLEN', KEYS[2]), redis.call('HEXISTS', KEYS[2], sid) == 1
if redis.call('ZSCORE', KEYS[3], sid) or (kind == 'joined' and known) then
  return 0
end
if kind == 'joined' then
  if late then
    -- So late that its leaving may be forgotten: a look tells.
    look = true
  elseif before < PEOPLE_MAX then
    redis.call('HSET', KEYS[2], sid, ARGV[7] .. ':' .. now)
  end
elseif kind == 'left' then
  remember_left(KEYS[3], sid, now)
  redis.call('HDEL', KEYS[2], sid)
  look = not known
end
local people = redis.call('HLEN', KEYS[2])
-- Where all who are left came when or after this one went, the room may have been empty in between.
local emptied = kind == 'left' and (people == 0 or all_joined_since(KEYS[2], happened_at))
for _, place in ipairs(places) do
  local k, d = place.k, place.d
  if has_agent(d) then
    -- One we never knew of concerns an agent that was there already: it came before its dispatch was made.
    local met = known or (not late and happened_at >= math.floor(tonumber(d.dispatched_at) / 1000))
    follow_people(d, before, people, emptied and met, now)
    if look or kind == 'joined' or (people > 0 and emptied and met) then
      d.check_at = now
    end
    if kind == 'joined' and d.emptied_at and may_return(k, d, now, ARGV[9]) then
      d.emptied_at = nil
    end
    save(k, d, now, people)
  end
end
return #places
