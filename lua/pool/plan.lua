-- Brings a pool to the size that it needs: starts workers where there are too few, and lets spare ones go that are too
-- many, too old, or of an older version.
-- KEYS[1] hash    gr:{shard}:pool:<tenant>:<pool>
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] `<tenant>:<pool>`   ARGV[3] ids for new workers, with blanks between
-- ARGV[4] how much younger than its age a new one retires, in thousandths   ARGV[5] 1: only says what it would do
-- ARGV[6] the schedule that these are of, ARGV[7] how many spare and ARGV[8] how many in all it asks for now
-- Builds: the pool's sets, its workers, leases and runners (see shared.lua)
-- Returns: {now, wanted, there are, reason, how many start, how many go, its schedule where that is another: then
--   nothing was done}; nothing where there is no such pool
-- Errors: none
local now = clock(ARGV[1])
local p = load_pool(ARGV[2])
if not p then
  return false
elseif (p.schedule or '[]') ~= ARGV[6] then
  return { now, 0, 0, 'scheduled', 0, 0, p.schedule or '[]' }
end
serve(p, now)
if p.draining == '1' then
  end_idle(p, now)
end
local n = {}
for state in pairs(TRANSITIONS) do
  n[state] = redis.call('ZCARD', set_of(p, 'in:' .. state))
end
local all = redis.call('ZCARD', set_of(p, 'workers'))
-- One that is degraded or cordoned serves nobody, and is not counted on.
local lives = n.initializing + n.busy + n.resetting + redis.call('ZCARD', set_of(p, 'spare'))
local wanted, reason = wanted_now(p, n, redis.call('ZCARD', set_of(p, 'waiting')), ARGV[7], ARGV[8], now)
local up, down = wanted - lives, lives - wanted
if down >= n.initializing then
  -- As many as there should be have started: that others did not is past.
  p.starts_failed, p.start_after = nil, nil
end
if up > 0 then
  up = math.min(up, rule(p, 'max') - all, rule(p, 'starts_max') - n.initializing)
  if now < rule(p, 'start_after') then
    up, reason = 0, 'backing_off'
  end
elseif down > 0 and now < rule(p, 'grown_at') + rule(p, 'cool_down_ms') and p.draining ~= '1' then
  down, reason = 0, 'cooling_down'
end
local gone, begun = {}, 0
-- Where all are to go, those go too that serve nobody.
local all_go = p.draining == '1' or reason == 'unused'
for _, set in ipairs(all_go and { 'in:ready', 'in:degraded' } or { 'spare' }) do
  for _, id in ipairs(redis.call('ZRANGE', set_of(p, set), 0, LOOK_MAX - 1)) do
    local w = worker_of(id)
    local is_idle = w and (is_spare(w) or all_go and (w.state == 'ready' or w.state == 'degraded'))
    local why = is_idle and leaves(p, w, all_go and 1 or down - #gone, now)
    if why then
      gone[#gone + 1] = { w, why }
    end
  end
end
if ARGV[5] == '1' then
  return { now, wanted, lives, reason, math.max(0, up), #gone, '' }
end
for _, it in ipairs(gone) do
  dismiss(p, it[1], it[2], now)
end
local rooms = up > 0 and rooms_of(p, now) or {}
for id in ARGV[3]:gmatch('%S+') do
  local room = rooms[1]
  if begun >= up or not room or room.free <= 0 then
    break
  end
  -- One that is known was begun by this call, whose answer was lost.
  if not worker_of(id) then
    local w = new_worker(p, id, room.runner, now, math.floor(rule(p, 'age_ms') * (1000 - ARGV[4]) / 1000))
    move_worker(w, 'initializing', 'planned', now)
    w.due_at = now + rule(p, 'start_ms')
    call_runner(w, now)
    begun, room.free = begun + 1, room.free - 1
    table.sort(rooms, more_free)
  end
end
if begun > 0 then
  p.grown_at = now
end
if up > begun and reason ~= 'backing_off' then
  -- Where there is room it was for want of ids: the next look starts more.
  reason = rooms[1] and rooms[1].free > 0 and 'starting' or 'no_room'
end
if begun + #gone > 0 or p.plan_reason ~= reason then
  note_plan(p, wanted, lives, reason, begun, #gone, now)
end
save_all(now)
return { now, wanted, lives, reason, begun, #gone, '' }
