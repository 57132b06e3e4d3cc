-- Gives places in the bounds on live dispatches back: their dispatches are over, or were never made.
-- KEYS[1] zset    gr:{shard}:quota:<tenant>
-- KEYS[2] zset    gr:{shard}:quota:<tenant>:<agent>
-- ARGV[1] taken until ms: one that was taken later is for the next dispatch, and stays   ARGV[2] <room>:<agent>
-- Flags: allow-oom
-- Returns: 1 where it was given back, else 0
-- Errors: none
redis.call('ZCARD', KEYS[2])
local taken_at = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[2]) or '')
if not taken_at or taken_at > tonumber(ARGV[1]) then
  return 0
end
redis.call('ZREM', KEYS[1], ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
