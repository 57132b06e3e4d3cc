-- An agent says how its session is. Only the one that the dispatch has now is heard.
-- KEYS[1] hash    gr:{shard}:dispatch:<tenant>:<room>:<agent>
-- KEYS[2] hash    gr:{shard}:people:<tenant>:<room>
-- KEYS[3] zset    gr:{shard}:due:provider
-- KEYS[4] zset    gr:{shard}:due:beat
-- KEYS[5] zset    gr:{shard}:due:store
-- KEYS[6] zset    gr:{shard}:index:<tenant>:dispatches
-- KEYS[7] stream  gr:{shard}:events
-- KEYS[8] hash    gr:{shard}:shard
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] id the dispatch must have   ARGV[3] token the agent was given
-- ARGV[4] open | busy | closed   ARGV[5] after how long of silence it counts as lost ms
-- Flags: allow-oom
-- Returns: {now, people, dispatch as field, value, …}
-- Errors: ENDED, STALE_TOKEN
local now = clock(ARGV[1])
local d = load(KEYS)
if not d or d.id ~= ARGV[2] or d.state == 'ending' then
  return refuse('ENDED', 'the dispatch is over')
end
local people = redis.call('HLEN', KEYS[2])
if not d.provider_id and d.state ~= 'failed' and tonumber(ARGV[3]) > (tonumber(d.committed_token) or 0) then
  -- The agent was faster than the commit, maybe that of another maker who finishes what a lost one
  -- began: it may be the right one, and will be heard next time.
  return { now, people, flatten(d) }
end
if d.agent_token ~= ARGV[3] then
  return refuse('STALE_TOKEN', 'another agent has taken its place')
end
local first = not d.seen_alive_at
if d.reported ~= 'closed' then
  d.reported = ARGV[4]
end
d.reported_at, d.silent = now, nil
local _, name = split_key(KEYS)
if d.reported == 'closed' then
  redis.call('ZREM', KEYS[4], 'dispatch:' .. name)
  d.check_at, d.reason = now, 'agent_closed'
else
  redis.call('ZADD', KEYS[4], now + tonumber(ARGV[5]), 'dispatch:' .. name)
  d.seen_alive_at, d.degraded = now, nil
  if first or d.reason == 'agent_silent' then
    d.reason = 'agent_seen'
  end
end
save(KEYS, d, now, people)
return { now, people, flatten(d) }
