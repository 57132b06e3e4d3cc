-- Shared by the scripts of API keys; prepended after the prelude.

-- How long a key that opens nothing any more is remembered, for whoever asks what it was.
local REMEMBERED_SECONDS = 30 * 24 * 3600
local KEY_EVENTS_MAX = 10000

-- The key as a table, or nil, and as Redis gave it. Fails where the stream is none, before anything is written.
local function load_key(key, events)
  redis.call('XLEN', events)
  local fields, flat = read_hash(key)
  return fields.hash and fields or nil, flat
end

-- Tells what happened to a key, and by whom; never its secret, nor the secret's hash.
local function add_key_event(events, id, tenant, now, state, by)
  redis.call('XADD', events, 'MAXLEN', '~', KEY_EVENTS_MAX, '*', 'at', now, 'id', id, 'tenant', tenant or '',
    'state', state, 'reason', 'asked', 'by', by)
end
