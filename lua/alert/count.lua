-- Adds what a replica has counted to the window that all replicas share, and tells the window's sums.
-- KEYS[1] hash    gr:{0}:alerts:counts
-- ARGV[1] now ms (empty: Redis's)   ARGV[2] replica   ARGV[3] number of the replica's call: the same again adds nothing
-- ARGV[4] window ms   ARGV[5] a thirtieth of it ms, in which counts are kept together
-- ARGV[6] names of counters and what is added to each, to the end
-- Flags: allow-oom
-- Returns: the sum of each counter, in the order of their names
-- Errors: none
local now, length = clock(ARGV[1]), tonumber(ARGV[5])
local present, oldest = math.floor(now / length), math.floor((now - tonumber(ARGV[4])) / length) + 1
local known, source = read_hash(KEYS[1]), 'from:' .. ARGV[2]
local is_new = tonumber(ARGV[3]) > (tonumber((known[source] or ''):match('^%d+')) or 0)
local sums, gone = {}, {}
for field, value in pairs(known) do
  local at, counter = field:match('^(%d+):(.*)$')
  at = tonumber(at or value:match(':(%d+)$'))
  -- After a clock that went back, what was counted in times to come would stay for long.
  if not at or at < oldest or at > present + 1 then
    gone[#gone + 1] = field
  elseif counter then
    sums[counter] = (sums[counter] or 0) + tonumber(value)
  end
end
local answer = {}
for i = 6, #ARGV, 2 do
  local counter, added = ARGV[i], is_new and tonumber(ARGV[i + 1]) or 0
  if added > 0 then
    redis.call('HINCRBY', KEYS[1], present .. ':' .. counter, added)
  end
  answer[#answer + 1] = (sums[counter] or 0) + added
end
for first = 1, #gone, 1000 do
  redis.call('HDEL', KEYS[1], unpack(gone, first, math.min(first + 999, #gone)))
end
redis.call('HSET', KEYS[1], source, ARGV[3] .. ':' .. present)
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[4]) + length)
return answer
