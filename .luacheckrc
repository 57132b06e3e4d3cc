-- Scripts run inside Redis, which has Lua 5.1.
std = "lua51"
max_line_length = 120
read_globals = {
  -- Redis
  "redis", "KEYS", "ARGV", "cjson", "cmsgpack", "bit",
  -- lua/prelude.lua, prepended to every script
  "clock", "next_token", "refuse", "read_hash", "sooner", "term_is_over",
  -- lua/lock/shared.lua, prepended to those of locks
  "lease_of", "is_held", "outlive", "told",
  -- lua/idempotency.lua, prepended to those that take an Idempotency-Key
  "replay", "take_up", "keep",
  -- lua/dispatch/habit.lua, prepended to the same
  "time_to_live", "learn_return", "recall_habit", "keep_habit",
  -- lua/dispatch/shared.lua, prepended to those that change dispatches
  "TOMBSTONE_SECONDS", "EVENTS_MAX",
  "keys_of", "split_key", "tombstone_key", "load", "flatten", "settle", "provider_due", "is_too_old", "move", "add_event", "hint",
  "save", "claim", "unclaim", "holds_claim", "is_claimed", "bury", "rename", "begin_anew", "forget", "arm", "note_activity", "follow_people", "check_types", "load_due",
  "has_agent", "members_of",
  -- lua/key/shared.lua, prepended to those that change API keys
  "REMEMBERED_SECONDS", "load_key", "add_key_event",
  -- lua/breaker/shared.lua, prepended to those of breakers
  "PROBE_POLL_MS", "REPORTERS_MAX", "written", "load_breaker", "save_breaker", "fields_of", "move_breaker", "release_breaker",
  "settle_breaker", "count_run", "answer_of",
  -- lua/dispatch/rules.lua, after it
  "PEOPLE_MAX", "LIST_LAG_MS", "was_away", "is_believed", "may_return", "may_reuse", "judge_agent", "pause_until_look", "remember_left",
  "all_joined_since", "reconcile_people", "tell_others",
}

-- What is shared is used by the scripts that it is prepended to; a `load` of our own is meant.
files["**/prelude.lua"] = { ignore = { "211" } }
files["**/shared.lua"] = { ignore = { "211", "431" } }
files["**/idempotency.lua"] = { ignore = { "211" } }
files["**/habit.lua"] = { ignore = { "211" } }
files["**/rules.lua"] = { ignore = { "211" } }
