-- A runner that has nothing new to tell shows that it is there, and hears what is new for it. The short form of
-- runner/sync.lua: it looks at no worker but those that there is something new of.
-- KEYS[1] hash    gr:{shard}:pool:<tenant>:<pool>
-- KEYS[2] hash    gr:{shard}:runner:<tenant>:<pool>:<runner>
-- KEYS[3] zset    gr:{shard}:due:lease
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] how long it is believed ms   ARGV[3] this start of the runner, encoded
-- ARGV[4] number of the report   ARGV[5] number of the report that it adds to
-- ARGV[6] number of the last thing that the runner has heard (empty: nothing)
-- Builds: gr:{shard}:runner:<tenant>:<pool>:<runner>:workers, and the workers and assignments of those in it
-- Flags: allow-oom
-- Returns: the same as runner/sync.lua
-- Errors: STALE_REPORT (a newer one was heard), INCOMPLETE (it adds to an unknown one)
local now, key_prefix, member = clock(ARGV[1]), KEYS[2]:match('^(gr:{%d+}:)(.*)$')
local why_not = objection(last_heard(KEYS[2]), ARGV[3], ARGV[4], ARGV[5])
if why_not then
  return why_not
end
local pool = redis.call('HMGET', KEYS[1], 'health_ms', 'reset_mode')
if not pool[1] then
  return refuse('INCOMPLETE', 'its pool is not known')
end
local last, listed, is_whole = unheard(KEYS[2], ARGV[6])
local answer = { now, tonumber(pool[1]), last, is_whole and 1 or 0 }
for _, id in ipairs(listed) do
  local key = key_prefix .. 'worker:' .. id
  local w = redis.call('HMGET', key, 'state', 'instruction', 'token', 'due_at', 'lease', 'session')
  w = { state = w[1], instruction = w[2], token = w[3], due_at = w[4], lease = w[5], session = w[6] }
  if w.state then
    answer[#answer + 1] = wish_of(key_prefix, id, w, pool[2], now)
  end
end
redis.call('ZADD', KEYS[3], now + ARGV[2], member)
redis.call('HSET', KEYS[2], 'seen_at', now, 'report', ARGV[4])
return answer
