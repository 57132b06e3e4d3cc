-- Removes a pool that nobody uses: its settings, what was counted, and what its runners told. What is remembered for a
-- while of workers that are gone and of sessions ends by itself.
-- KEYS[1] hash    gr:{shard}:pool:<tenant>:<pool>
-- KEYS[2] zset    gr:{shard}:index:<tenant>:pools
-- KEYS[3] zset    gr:{shard}:index:pools
-- ARGV[1] `<tenant>:<pool>`
-- Builds: the pool's sets, and its runners (see shared.lua)
-- Flags: allow-oom
-- Returns: 1; 0 where there is none
-- Errors: IN_USE (it has workers, or sessions that have or want one)
local p = load_pool(ARGV[1])
if not p then
  return 0
end
for _, set in ipairs({ 'workers', 'leases', 'waiting' }) do
  if redis.call('ZCARD', set_of(p, set)) > 0 then
    return refuse('IN_USE', 'it has ' .. set)
  end
end
redis.call('ZCARD', KEYS[2])
redis.call('ZCARD', KEYS[3])
for _, runner in ipairs(redis.call('ZRANGE', set_of(p, 'runners'), 0, 999)) do
  local member = runner_member({ pool_key = p.key, runner = runner })
  redis.call('DEL', prefix .. member, prefix .. member .. ':workers')
  redis.call('ZREM', prefix .. 'due:lease', member)
end
redis.call('DEL', KEYS[1], set_of(p, 'runners'))
redis.call('ZREM', KEYS[2], ARGV[1]:match(':(.*)$'))
redis.call('ZREM', KEYS[3], ARGV[1])
return 1
