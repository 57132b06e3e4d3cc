-- The holder keeps its lease for longer. One that was ended is not renewed: its worker may serve another by now. One
-- whose time is over, and that nobody has ended, is: after a break everybody is given time.
-- KEYS[1] hash    gr:{shard}:lease:<lease>
-- KEYS[2] zset    gr:{shard}:due:lease
-- KEYS[3] hash    gr:{shard}:once:<digest>; left out without an `Idempotency-Key`
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] lease   ARGV[3] token   ARGV[4] lease ms (empty: as it was)
-- ARGV[5] `<tenant>:` of the caller   ARGV[6] digest of the request
-- Flags: allow-oom
-- Returns: {now, when it ends ms}
-- Errors: NOT_OWNER, KEY_REUSED
local once = { key = KEYS[3], body = ARGV[6] }
local said = replay(once)
if said then
  return said
end
local now, l = clock(ARGV[1]), read_hash(KEYS[1])
redis.call('ZCARD', KEYS[2])
local is_own = l.pool_key and l.pool_key:sub(1, #ARGV[5]) == ARGV[5] and l.token == ARGV[3]
if not is_own or l.state ~= 'held' then
  return refuse('NOT_OWNER', 'the lease is over')
end
local lease_ms = ARGV[4] ~= '' and ARGV[4] or l.lease_ms
return keep(once, { now, prolong(KEYS[1], KEYS[2], ARGV[2], lease_ms, now) })
