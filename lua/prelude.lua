-- Shared by every script: prepended when the scripts are loaded, right after the `#!lua` line.

-- The time in milliseconds since 1970: Redis's own, unless a test injects one.
local function clock(injected)
  if injected ~= '' then
    return tonumber(injected)
  end
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- Tokens of a thing only grow, and look like times, which reads well.
local function next_token(previous, now)
  return math.max((tonumber(previous) or 0) + 1, now)
end

-- An error that the Rust side maps to a type by its first word.
local function refuse(code, text)
  return redis.error_reply(code .. ' ' .. text)
end

-- A hash as a table (empty where the key is missing), and as Redis gave it.
local function read_hash(key)
  local flat = redis.call('HGETALL', key)
  local hash = {}
  for i = 1, #flat, 2 do
    hash[flat[i]] = flat[i + 1]
  end
  return hash, flat
end

-- The smaller of two times, either of which may be missing.
local function sooner(a, b)
  a, b = tonumber(a), tonumber(b)
  if a and b then
    return math.min(a, b)
  end
  return a or b
end

-- Refuses a leader whose term is over. Every script that only a leader runs begins with it.
local function term_is_over(shard_key, term)
  local highest = tonumber(redis.call('HGET', shard_key, 'term')) or 0
  return tonumber(term) < highest
end
