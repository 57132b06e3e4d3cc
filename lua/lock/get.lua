-- Who has the lock.
-- KEYS[1] hash    gr:{shard}:lock:<tenant>:<name>
-- ARGV[1] now ms (empty: Redis's)
-- Flags: no-writes
-- Returns: {0, token, owner, since ms, until ms, lease left ms}, or nothing where nobody has it
-- Errors: none
local now = clock(ARGV[1])
local lock = read_hash(KEYS[1])
return is_held(lock, now) and told(false, lock, now) or false
