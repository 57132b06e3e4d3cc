-- A runner tells what it runs, and hears what is to become of each worker. What it tells counts from now on; a worker
-- that it no longer tells of is lost, one that nobody knows is taken in. It may tell only what is new since an earlier
-- report of its own; then nothing is lost. A report that is late, or that adds to an unknown one, changes nothing.
-- KEYS[1] hash    gr:{shard}:pool:<tenant>:<pool>
-- KEYS[2] hash    gr:{shard}:runner:<tenant>:<pool>:<runner>
-- KEYS[3] zset    gr:{shard}:runner:<tenant>:<pool>:<runner>:workers
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] `<tenant>:<pool>`   ARGV[3] runner, encoded   ARGV[4] its host
-- ARGV[5] its driver   ARGV[6] how many workers it may have   ARGV[7] 1 where it drains, else 0
-- ARGV[8] how long it is believed ms   ARGV[9] what it tells of workers, a JSON array (see runner/follow.lua)
-- ARGV[10] this start of the runner, encoded   ARGV[11] number of the report, which grows within a start
-- ARGV[12] number of the report that it adds to (empty: it tells everything)
-- ARGV[13] number of the last thing that the runner has heard (empty: nothing)
-- Builds: the pool's sets, its workers, leases, sessions and assignments (see pool/shared.lua)
-- Flags: allow-oom
-- Returns: {now, how often health is checked ms, number of the last thing that it is told, 1 where that is of all its
--   workers, else 0, {id, action, token, time left ms, lease, session, assignment}, …};
--   action is run, assign, keep, reset, restart or stop
-- Errors: NOT_FOUND (no such pool), STALE_REPORT (a newer one was heard), INCOMPLETE (it adds to an unknown one)
local now, member, is_part = clock(ARGV[1]), KEYS[2]:match('^gr:{%d+}:(.*)$'), ARGV[12] ~= ''
local p = load_pool(ARGV[2])
if not p then
  return refuse('NOT_FOUND', 'no such pool')
end
local last = last_heard(KEYS[2])
local why_not = objection(last, ARGV[10], ARGV[11], ARGV[12])
if why_not then
  return why_not
end
local runner, told = runner_of(member), {}
runner.is_known, runner.next = true, not runner.is_known and now or nil
heard[member] = true
local _, listed, is_whole = unheard(KEYS[2], ARGV[13])
if not is_part or ARGV[7] == '1' then
  listed = redis.call('ZRANGE', KEYS[3], 0, WORKERS_MAX)
end
for _, report in ipairs(cjson.decode(ARGV[9])) do
  local w = worker_of(report.id) or take_in(p, ARGV[3], report, now)
  told[report.id] = report.state
  if w and w.state ~= 'terminated' and runner_member(w) == member then
    follow(p, w, report, now)
  end
end
for _, id in ipairs(listed) do
  local w = worker_of(id)
  if not is_part and w and w.state ~= 'initializing' and w.state ~= 'terminated' and not told[id] then
    treat(p, w, 'lost', now)
  end
end
if ARGV[7] == '1' then
  dismiss_spare(p, member, 'drained', now)
end
serve(p, now)
local wishes, is_all = {}, is_whole or not is_part
for id, it in pairs(workers) do
  local w = it.now
  local is_own = w.id and runner_member(w) == member and w.state ~= 'terminated'
  if is_own and (is_all or (tonumber(w.told) or 0) > tonumber(ARGV[13])) then
    wishes[#wishes + 1] = wish_of(prefix, id, w, p.reset_mode, now)
  elseif not is_own and told[id] and told[id] ~= 'gone' and (w.id or not is_all) then
    wishes[#wishes + 1] = { id, 'stop', 0, 0, '', '', '' }
  end
end
redis.call('HSET', KEYS[2], 'host', ARGV[4], 'driver', ARGV[5], 'capacity', ARGV[6], 'draining', ARGV[7],
  'seen_at', now, 'boot', ARGV[10], 'report', ARGV[11], 'boots', boots_before(last, ARGV[10]))
redis.call('ZADD', set_of(p, 'runners'), 0, ARGV[3])
redis.call('ZADD', prefix .. 'due:lease', now + ARGV[8], member)
save_all(now)
return { now, rule(p, 'health_ms'), runner.told, is_all and 1 or 0, unpack(wishes) }
