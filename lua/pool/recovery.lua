-- What is to be done about a worker that fails, or had better be another: a table, and a function of nothing but its
-- arguments. Prepended to the scripts of pools; `decide` (pool/shared.lua) asks it, `treat` (pool/failure.lua) does it.
--
--   retry     it goes, and so does what was begun with it: the next start waits, longer each time
--   remove    it goes at once, whatever else fails: it is dead, or not known to be clean
--   replace   it goes: another one is started in its place
--   degrade   it stays, and serves nobody until it is well, or may be replaced
--   recover   it serves again
--   wait      nothing now

-- These leave no choice. The others are soft: the worker lives, and its pool may not be able to spare it.
local REMEDIES = {
  start_failed = 'retry', start_timeout = 'retry',
  crashed = 'remove', lost = 'remove', runner_lost = 'remove', stop_timeout = 'remove',
  assign_failed = 'remove', assign_timeout = 'remove', reset_failed = 'remove', reset_timeout = 'remove',
}

-- What is to be done, and why. `kind` is one of REMEDIES, or unhealthy, well (it was degraded), memory_high, recycled
-- (it is old, or had its sessions), rolled_over. `c` is what it depends on: whether it is `leased`; its `failures` in a
-- row, and `failures_max`; its `flaps`, how often it recovered of late, and `flaps_max` (0: no bound); how many of the
-- pool are `moving` (come or go), and `moving_max`; `starts_failed` in a row, and whether the pool is `backing_off`.
local function recovery(kind, c)
  if REMEDIES[kind] then
    return REMEDIES[kind], kind
  elseif kind == 'unhealthy' and c.failures < c.failures_max then
    return c.leased and 'wait' or 'degrade', kind
  elseif kind == 'well' and (c.flaps_max == 0 or c.flaps < c.flaps_max) then
    return 'recover', 'recovered'
  elseif kind == 'well' then
    kind = 'flapping'
  end
  -- What is ill and serves nobody may go although starts failed. What is of use stays until its like starts.
  local is_ill = kind == 'unhealthy' or kind == 'flapping'
  local is_useless = is_ill and not c.leased
  if c.moving >= c.moving_max or c.backing_off or c.starts_failed > 0 and not is_useless or c.leased and not is_ill then
    return is_useless and 'degrade' or 'wait', kind
  end
  return 'replace', kind
end
