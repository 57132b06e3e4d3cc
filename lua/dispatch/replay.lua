-- What was answered to a request about a dispatch that may have ended since.
-- KEYS[1] hash    gr:{shard}:once:<digest>
-- ARGV[1] digest of the request (see idempotency.lua)
-- Flags: no-writes
-- Returns: the answer of dispatch/touch, or nil
-- Errors: KEY_REUSED
return replay({ key = KEYS[1], body = ARGV[1] })
