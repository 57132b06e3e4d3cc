-- Scripts run inside Redis, which has Lua 5.1.
std = "lua51"
max_line_length = 120
-- What a script of pools has read, and is to write: lua/pool/shared.lua.
globals = { "pools", "workers", "leases", "hints", "heard", "moving", "steps", "runners" }
read_globals = {
  -- Redis
  "redis", "KEYS", "ARGV", "cjson", "cmsgpack", "bit",
  -- lua/prelude.lua, prepended to every script
  "clock", "next_token", "refuse", "read_hash", "sooner", "term_is_over",
  -- lua/lock/shared.lua, prepended to those of locks
  "lease_of", "is_held", "outlive", "told",
  -- lua/lease/shared.lua, prepended to those by which a lease lasts for longer
  "prolong",
  -- lua/idempotency.lua, prepended to those that take an Idempotency-Key
  "replay", "take_up", "keep",
  -- lua/record.lua, prepended to those that change a hash as a table
  "flatten", "copy_of", "write_changes",
  -- lua/dispatch/habit.lua, prepended to the same
  "time_to_live", "learn_return", "recall_habit", "keep_habit",
  -- lua/dispatch/shared.lua, prepended to those that change dispatches
  "TOMBSTONE_SECONDS", "EVENTS_MAX",
  "keys_of", "split_key", "tombstone_key", "load", "settle", "provider_due", "is_too_old", "move", "add_event", "hint",
  "save", "claim", "unclaim", "holds_claim", "is_claimed", "bury", "rename", "begin_anew", "forget", "arm", "note_activity", "follow_people", "check_types", "load_due",
  "has_agent", "members_of",
  -- lua/key/shared.lua, prepended to those that change API keys
  "REMEMBERED_SECONDS", "load_key", "add_key_event",
  -- lua/breaker/shared.lua, prepended to those of breakers
  "PROBE_POLL_MS", "REPORTERS_MAX", "written", "load_breaker", "save_breaker", "fields_of", "move_breaker", "release_breaker",
  "settle_breaker", "count_run", "answer_of",
  -- lua/dispatch/rules.lua, after it
  "PEOPLE_MAX", "LIST_LAG_MS", "is_overdue", "is_believed", "may_return", "may_reuse", "judge_agent", "pause_until_look", "remember_left",
  "all_joined_since", "reconcile_people", "tell_others",
  -- lua/pool/states.lua, prepended to those of pools
  "may_move", "TRANSITIONS",
  -- lua/pool/recovery.lua, after it
  "recovery", "REMEDIES",
  -- lua/pool/shared.lua, prepended to those of pools
  "load_once", "set_of", "load_pool", "rule", "runner_member", "worker_of", "session_key",
  "lease_of", "tell_waiter", "runner_of", "call_runner", "instruct", "is_spare", "move_worker", "new_worker", "dismiss", "end_lease", "free",
  "take_away", "note_wait", "WAITS_MS", "grant", "is_heard", "first_in_line", "first_of", "next_spare", "worker_for", "serve", "hold",
  "flaps_of", "context_of", "decide", "wear_of",
  -- lua/pool/keyed.lua, after it
  "is_keyed", "count_keyed", "give_up", "let_go", "use_again", "ask_again", "answer_of", "rebind", "make_room", "end_idle",
  -- lua/pool/save.lua, after it
  "belongs", "say", "event_of", "ERRORS", "LOST", "save_worker", "save_runner", "save_session", "save_lease", "save_all", "WORKER_MEMORY_SECONDS",
  "PAST_MAX", "EVENTS_MAX", "LOOK_MAX", "OFFER_MS", "prefix", 
  -- lua/pool/measures.lua, prepended to those of pools that see arrivals and starts
  "note_arrival", "note_start", "note_failed_start", "ARRIVALS_MS", "BACKOFF_STEPS_MAX",
  -- lua/pool/demand.lua, prepended to those of pools that plan
  "foreseen", "wanted_now", "leaves", "more_free", "rooms_of", "note_plan",
  -- lua/pool/failure.lua, prepended to those that notice failures
  "note_recovery", "treat", "FLAPS_MAX", "GONE",
  -- lua/reap/brake.lua, prepended to those of pools
  "was_away", "spared", "BRAKE_MIN",
  -- lua/runner/shared.lua, prepended to those that hear and tell runners
  "WORKERS_MAX", "BOOTS_MAX", "ACTIONS", "last_heard", "objection", "boots_before", "unheard", "action_of", "wish_of",
  -- lua/runner/follow.lua, prepended to the one that hears what they tell
  "take_in", "adopt_session", "shows_session", "catch_up", "follow_instruction", "follow_release", "follow_health", "follow_end", "follow", "dismiss_spare",
}

-- What is shared is used by the scripts that it is prepended to; a `load` of our own is meant.
files["**/prelude.lua"] = { ignore = { "211" } }
files["**/shared.lua"] = { ignore = { "211", "241", "431" } }
files["**/idempotency.lua"] = { ignore = { "211" } }
files["**/habit.lua"] = { ignore = { "211" } }
files["**/rules.lua"] = { ignore = { "211" } }
files["**/recovery.lua"] = { ignore = { "211" } }
files["**/failure.lua"] = { ignore = { "211" } }
files["**/states.lua"] = { ignore = { "211" } }
files["**/keyed.lua"] = { ignore = { "211" } }
files["**/save.lua"] = { ignore = { "211" } }
files["**/demand.lua"] = { ignore = { "211" } }
files["**/brake.lua"] = { ignore = { "211" } }
files["**/follow.lua"] = { ignore = { "211" } }
files["**/record.lua"] = { ignore = { "211" } }
files["**/measures.lua"] = { ignore = { "211" } }
