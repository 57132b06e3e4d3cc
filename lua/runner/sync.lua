-- A runner tells what it runs, and hears what is to become of each worker. What it tells counts from now on; a worker
-- that it no longer tells of is lost, one that nobody knows is taken in. A late report changes nothing.
-- KEYS[1] hash    gr:{shard}:pool:<tenant>:<pool>
-- KEYS[2] hash    gr:{shard}:runner:<tenant>:<pool>:<runner>
-- KEYS[3] zset    gr:{shard}:runner:<tenant>:<pool>:<runner>:workers
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] `<tenant>:<pool>`   ARGV[3] runner, encoded   ARGV[4] its host
-- ARGV[5] its driver   ARGV[6] how many workers it may have   ARGV[7] 1 where it drains, else 0
-- ARGV[8] how long it is believed ms   ARGV[9] what it tells of each worker, a JSON array (see runner/follow.lua)
-- ARGV[10] this start of the runner, encoded   ARGV[11] number of the report, which grows within a start
-- Builds: the pool's sets, its workers, leases, sessions and assignments (see pool/shared.lua)
-- Flags: allow-oom
-- Returns: {now, how often health is checked ms, {id, action, token, time left ms, lease, session, assignment}, …};
--   action is run, assign, keep, reset, restart or stop
-- Errors: NOT_FOUND (no such pool), STALE_REPORT (a newer one was heard)
local now, member = clock(ARGV[1]), KEYS[2]:match('^gr:{%d+}:(.*)$')
local p = load_pool(ARGV[2])
if not p then
  return refuse('NOT_FOUND', 'no such pool')
end
local last = redis.call('HMGET', KEYS[2], 'boot', 'report', 'boots')
if is_late(last, ARGV[10], ARGV[11]) then
  return refuse('STALE_REPORT', 'a newer report was heard')
end
local listed = redis.call('ZRANGE', KEYS[3], 0, WORKERS_MAX)
heard[member] = true
local told, answers = {}, { now, rule(p, 'health_ms') }
for _, report in ipairs(cjson.decode(ARGV[9])) do
  local w = worker_of(report.id) or take_in(p, ARGV[3], report, now)
  told[report.id] = true
  if w and w.state ~= 'terminated' and runner_member(w) == member then
    follow(p, w, report, now)
  end
end
for _, id in ipairs(listed) do
  local w = worker_of(id)
  if w and w.state ~= 'initializing' and w.state ~= 'terminated' and not told[id] then
    treat(p, w, 'lost', now)
  end
end
if ARGV[7] == '1' then
  dismiss_spare(p, member, 'drained', now)
end
serve(p, now)
for id, it in pairs(workers) do
  local w = it.now
  local is_own = w.id and runner_member(w) == member
  if is_own and (w.state ~= 'terminated' or told[id]) then
    local action, left_ms = action_of(p, w), math.max(0, (tonumber(w.due_at) or now) - now)
    local assignment = action == 'assign' and redis.call('GET', prefix .. 'assignment:' .. w.lease) or ''
    answers[#answers + 1] = { id, action, tonumber(w.token) or 0, left_ms, w.lease or '', w.session or '', assignment }
  end
end
redis.call('HSET', KEYS[2], 'host', ARGV[4], 'driver', ARGV[5], 'capacity', ARGV[6], 'draining', ARGV[7],
  'seen_at', now, 'boot', ARGV[10], 'report', ARGV[11], 'boots', boots_before(last, ARGV[10]))
redis.call('ZADD', set_of(p, 'runners'), 0, ARGV[3])
redis.call('ZADD', prefix .. 'due:lease', now + ARGV[8], member)
save_all(now)
return answers
