-- What is asked for under an `Idempotency-Key` is done once: its answer is kept for a day, in the shard of what
-- it changed and by the script that changed it, and given again. Prepended to the scripts that take one.
--
-- `once` is a request under such a key: `key`, its record in Redis (nil where the caller sent none), `body`, a
-- digest of what it asks, `attempt`, which tells the request from its repetitions.

local RECORD_SECONDS = 86400
-- How long a request that waits counts as under way after it last asked; it asks at least once a second.
local UNDER_WAY_MS = 2500

-- The answer that was given before, or a refusal; nil where there is none yet.
local function replay(once)
  local known = once.key and redis.call('HMGET', once.key, 'body', 'answer')
  if not known or not known[1] then
    return nil
  end
  if known[1] ~= once.body then
    return refuse('KEY_REUSED', 'the key was used for another request')
  end
  return known[2] and cjson.decode(known[2]) or nil
end

-- A request that takes more than one script is under way: a repetition is refused meanwhile. `call` names this
-- question, `working` the one whose claim is being worked on.
local function take_up(once, now, call, working)
  if not once.key then
    return nil
  end
  local known = redis.call('HMGET', once.key, 'attempt', 'until', 'call')
  local fresh = known[2] and now < tonumber(known[2]) or known[3] and known[3] == working
  if known[1] and known[1] ~= once.attempt and fresh then
    return refuse('UNDER_WAY', 'the same request is under way')
  end
  redis.call('HSET', once.key, 'body', once.body, 'attempt', once.attempt, 'until', now + UNDER_WAY_MS, 'call', call)
  redis.call('EXPIRE', once.key, RECORD_SECONDS)
  return nil
end

-- Keeps the answer for repetitions, and gives it.
local function keep(once, answer)
  if once.key then
    redis.call('HDEL', once.key, 'attempt', 'until', 'call')
    redis.call('HSET', once.key, 'body', once.body, 'answer', cjson.encode(answer))
    redis.call('EXPIRE', once.key, RECORD_SECONDS)
  end
  return answer
end
