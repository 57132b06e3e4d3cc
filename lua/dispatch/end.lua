-- Ends a dispatch because somebody asked for it. The caller deletes it at the provider.
-- KEYS[1] hash    gr:{shard}:dispatch:<tenant>:<room>:<agent>
-- KEYS[2] hash    gr:{shard}:people:<tenant>:<room>
-- KEYS[3] zset    gr:{shard}:due:provider
-- KEYS[4] zset    gr:{shard}:due:beat
-- KEYS[5] zset    gr:{shard}:due:store
-- KEYS[6] zset    gr:{shard}:index:<tenant>:dispatches
-- KEYS[7] stream  gr:{shard}:events
-- KEYS[8] hash    gr:{shard}:shard
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] id the dispatch must have   ARGV[3] reason   ARGV[4] claim ms
-- Builds: gr:{shard}:tombstone:<tenant>:<room>:<provider id>
-- Flags: allow-oom
-- Returns: {verdict, now, people, dispatch as field, value, …}; verdict is
--   end (claimed by the caller) | wait (somebody is at it)
-- Errors: NOT_FOUND
local now = clock(ARGV[1])
local d = load(KEYS)
if not d or d.id ~= ARGV[2] then
  return refuse('NOT_FOUND', 'no such dispatch')
end
local people = redis.call('HLEN', KEYS[2])
if d.state == 'ending' and is_claimed(d, now) then
  return { 'wait', now, people, flatten(d) }
end
bury(KEYS, d)
d.state, d.reason = 'ending', ARGV[3]
d.forget_at = nil
claim(KEYS, d, 'end', now, ARGV[4])
save(KEYS, d, now, people)
return { 'end', now, people, flatten(d) }
