-- What a pool waits for and did not come: a start, an assignment that is taken, a reset, a stop, a caller in line.
-- KEYS[1] hash    gr:{shard}:shard
-- KEYS[2] zset    gr:{shard}:due:pool
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] term of the leader   ARGV[3] how many at most
-- Builds: pools, workers, leases and sessions of what is due (see pool/shared.lua)
-- Flags: allow-oom
-- Returns: how many were due
-- Errors: STALE_TERM
-- What a worker has that did not do in time what it was to do.
local LATE = {
  initializing = 'start_timeout', busy = 'assign_timeout', resetting = 'reset_timeout', terminating = 'stop_timeout',
}

-- Nobody got a worker in time, or nobody came for the one that was offered.
local function overdue_lease(p, l, now)
  local w = l.state == 'offered' and worker_of(l.worker)
  end_lease(l, w and 'abandoned' or 'timed_out')
  if w and w.lease == l.id then
    free(p, w, 'abandoned', now)
  end
end

if term_is_over(KEYS[1], ARGV[2]) then
  return refuse('STALE_TERM', 'another leader has begun')
end
local now, touched, stale = clock(ARGV[1]), {}, {}
local due = redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[3])
for _, member in ipairs(due) do
  local kind, id = member:match('^(%a+):(.*)$')
  local it = kind == 'worker' and worker_of(id) or kind == 'lease' and lease_of(id)
  local p = it and load_pool(it.pool_key)
  if not it or not it.due_at then
    stale[#stale + 1] = member
  elseif p and tonumber(it.due_at) <= now then
    touched[p.key] = p
    if kind == 'worker' and LATE[it.state] then
      treat(p, it, LATE[it.state], now)
    elseif kind == 'lease' then
      overdue_lease(p, it, now)
    end
  end
end
for _, p in pairs(touched) do
  serve(p, now)
end
-- What is no longer waited for would be in the way of what is.
for _, member in ipairs(stale) do
  redis.call('ZREM', KEYS[2], member)
end
save_all(now)
return #due
