-- The dispatch is gone at the provider: it is forgotten, and those who wait for its end go on.
-- KEYS[1] hash    gr:{shard}:dispatch:<tenant>:<room>:<agent>
-- KEYS[2] hash    gr:{shard}:people:<tenant>:<room>
-- KEYS[3] zset    gr:{shard}:due:provider
-- KEYS[4] zset    gr:{shard}:due:beat
-- KEYS[5] zset    gr:{shard}:due:store
-- KEYS[6] zset    gr:{shard}:index:<tenant>:dispatches
-- KEYS[7] stream  gr:{shard}:events
-- KEYS[8] hash    gr:{shard}:shard
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] token of the claim
-- Builds: gr:{shard}:id:<id>, gr:{shard}:metadata:<tenant>:<room>:<agent>, gr:{shard}:left:<tenant>:<room>
-- Flags: allow-oom
-- Returns: 1, or 0 where it was forgotten before
-- Errors: NOT_OWNER
local now = clock(ARGV[1])
local d = load(KEYS)
if not d then
  return 0
end
if not holds_claim(d, ARGV[2]) or d.claim ~= 'end' then
  return refuse('NOT_OWNER', 'the claim is over')
end
forget(KEYS, d, now)
return 1
