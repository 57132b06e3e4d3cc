-- Does what is to be done about a worker (see pool/recovery.lua); prepended to the scripts that notice what it has.

-- How many times of recovery a worker remembers.
local FLAPS_MAX = 20
-- Of these nothing is left that could be asked to stop.
local GONE = { start_failed = true, crashed = true, lost = true, runner_lost = true, stop_timeout = true }

local function note_recovery(w, now)
  local times = { now }
  for at in (w.recovered or ''):gmatch('%d+') do
    if #times < FLAPS_MAX then
      times[#times + 1] = at
    end
  end
  w.recovered = table.concat(times, ' ')
end

local function treat(p, w, kind, now)
  local what, why = decide(p, w, kind, now)
  if kind == 'reset_failed' or kind == 'reset_timeout' then
    p.resets_failed = rule(p, 'resets_failed') + 1
  end
  if what == 'recover' then
    note_recovery(w, now)
    move_worker(w, 'ready', why, now)
  elseif what == 'degrade' and w.state == 'ready' then
    move_worker(w, 'degraded', why, now)
  elseif what == 'retry' or what == 'remove' or what == 'replace' then
    if what == 'retry' then
      note_failed_start(p, now)
    end
    take_away(w)
    if GONE[kind] then
      move_worker(w, 'terminated', why, now)
    else
      dismiss(p, w, why, now)
    end
  end
end
