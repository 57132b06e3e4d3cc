-- One breaker, as it is.
-- KEYS[1] hash    gr:{shard}:breaker:<tenant>:<name>
-- ARGV[1] now ms (empty: Redis's)
-- Flags: no-writes
-- Returns: {now, {field, value, …}}; no fields where there is none
-- Errors: none
local _, flat = read_hash(KEYS[1])
return { clock(ARGV[1]), flat }
