-- The states of a worker: from which to which it may go, and for what reasons. The one table of it: Rust reads this
-- file in a test and holds its own against it.

local TRANSITIONS = {
  none = { initializing = 'planned', ready = 'adopted', busy = 'adopted' },
  initializing = {
    ready = 'started',
    busy = 'adopted',
    terminating = 'start_timeout scaled_in drained recycled rolled_over',
    terminated = 'start_failed crashed lost runner_lost',
  },
  ready = {
    busy = 'allocated adopted',
    degraded = 'unhealthy',
    terminating = 'unhealthy memory_high scaled_in drained recycled rolled_over',
    terminated = 'crashed lost runner_lost',
  },
  busy = {
    resetting = 'released lapsed abandoned idle evicted',
    terminating =
      'released lapsed abandoned idle evicted assign_failed assign_timeout unhealthy drained recycled rolled_over',
    terminated = 'crashed lost runner_lost',
  },
  resetting = {
    ready = 'reset_proved',
    terminating = 'reset_failed reset_timeout unhealthy drained recycled rolled_over',
    terminated = 'crashed lost runner_lost',
  },
  degraded = {
    ready = 'recovered',
    busy = 'adopted',
    terminating = 'unhealthy flapping scaled_in drained recycled rolled_over',
    terminated = 'crashed lost runner_lost',
  },
  terminating = { terminated = 'stopped crashed lost stop_timeout runner_lost' },
}

-- Whether the table has the step; a reason may be followed by what exactly happened, after a colon.
local function may_move(from, to, reason)
  local reasons = (TRANSITIONS[from or 'none'] or {})[to]
  return reasons and (' ' .. reasons .. ' '):find(' ' .. reason .. ' ', 1, true) ~= nil
end
