-- Leases that nobody renewed, keyed sessions that were idle for long enough, and runners that fell silent with all
-- their workers.
-- KEYS[1] hash    gr:{shard}:shard
-- KEYS[2] zset    gr:{shard}:due:lease
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] term of the leader   ARGV[3] how many at most
-- ARGV[4] how long a runner is believed ms
-- Builds: pools, workers, leases, sessions and runners of what is due (see pool/shared.lua)
-- Flags: allow-oom
-- Returns: {how many leases lapsed, how many workers were lost, how many were spared by the brake, put on now}
-- Errors: STALE_TERM
if term_is_over(KEYS[1], ARGV[2]) then
  return refuse('STALE_TERM', 'another leader has begun')
end
local now = clock(ARGV[1])
local due = redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[3])
local lapsed, lost, silent, stale, touched = 0, 0, {}, {}, {}
for _, member in ipairs(due) do
  local id = member:match('^lease:(.*)$')
  local l = id and lease_of(id)
  if l and l.until_at then
    local p = load_pool(l.pool_key)
    if l.state == 'idle' then
      give_up(p, l, 'idle', now)
    else
      let_go(p, l, 'lapsed', now)
    end
    if p then
      touched[p.key] = p
    end
    lapsed = lapsed + 1
  elseif id then
    stale[#stale + 1] = member
  else
    silent[#silent + 1] = member
    load_pool(member:match('^runner:([^:]*:[^:]*):'))
    for _, worker in ipairs(redis.call('ZRANGE', prefix .. member .. ':workers', 0, 199)) do
      local w = worker_of(worker)
      local p = w and w.state ~= 'terminated' and load_pool(w.pool_key)
      if p then
        treat(p, w, 'runner_lost', now)
        touched[p.key], lost = p, lost + 1
      end
    end
  end
end
for _, p in pairs(touched) do
  serve(p, now)
end
-- Only now is anything written: what was read may have been of another type.
local wait, braked = spared(KEYS[1], KEYS[2], 'lease_', now, tonumber(ARGV[4]))
if wait then
  return { 0, 0, braked }
end
for _, member in ipairs(stale) do
  redis.call('ZREM', KEYS[2], member)
end
save_all(now)
for _, member in ipairs(silent) do
  local pool, runner = member:match('^runner:([^:]*:[^:]*):(.*)$')
  redis.call('ZREM', KEYS[2], member)
  redis.call('ZREM', prefix .. 'pool:' .. pool .. ':runners', runner)
  redis.call('DEL', prefix .. member)
end
return { lapsed, lost, 0 }
