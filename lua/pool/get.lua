-- One pool, and how many of it there are.
-- KEYS[1] hash    gr:{shard}:pool:<tenant>:<pool>
-- ARGV[1] now ms (empty: Redis's)
-- Builds: the pool's sets (see shared.lua)
-- Flags: no-writes
-- Returns: {now, pool as field, value, …, {state or set, how many, …}}; no field where there is none
-- Errors: none
local counts = {}
for _, set in ipairs({ 'spare', 'waiting', 'leases', 'keyed', 'idle', 'workers', 'runners' }) do
  counts[#counts + 1] = set
  counts[#counts + 1] = redis.call('ZCARD', KEYS[1] .. ':' .. set)
end
for state in pairs(TRANSITIONS) do
  counts[#counts + 1] = 'in:' .. state
  counts[#counts + 1] = redis.call('ZCARD', KEYS[1] .. ':in:' .. state)
end
return { clock(ARGV[1]), redis.call('HGETALL', KEYS[1]), counts }
