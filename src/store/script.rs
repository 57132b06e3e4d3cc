//! The Lua scripts: put together when the program starts, called by hash, sent whole where Redis
//! does not know them (after `SCRIPT FLUSH`, a restart, a fail-over).

use std::sync::LazyLock;

use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind};

const LOCK: &str = include_str!("../../lua/lock/shared.lua");
const ONCE: &str = include_str!("../../lua/idempotency.lua");
const PRELUDE: &str = include_str!("../../lua/prelude.lua");
const DISPATCH: &str = concat!(
    include_str!("../../lua/idempotency.lua"),
    "\n",
    include_str!("../../lua/record.lua"),
    "\n",
    include_str!("../../lua/dispatch/habit.lua"),
    "\n",
    include_str!("../../lua/dispatch/shared.lua"),
    "\n",
    include_str!("../../lua/reap/brake.lua"),
    "\n",
    include_str!("../../lua/dispatch/rules.lua")
);
const POOL: &str = concat!(
    include_str!("../../lua/idempotency.lua"),
    "\n",
    include_str!("../../lua/record.lua"),
    "\n",
    include_str!("../../lua/pool/states.lua"),
    "\n",
    include_str!("../../lua/pool/recovery.lua"),
    "\n",
    include_str!("../../lua/pool/shared.lua"),
    "\n",
    include_str!("../../lua/pool/keyed.lua"),
    "\n",
    include_str!("../../lua/pool/save.lua"),
    "\n",
    include_str!("../../lua/pool/demand.lua"),
    "\n",
    include_str!("../../lua/pool/failure.lua"),
    "\n",
    include_str!("../../lua/reap/brake.lua"),
    "\n",
    include_str!("../../lua/runner/shared.lua"),
    "\n",
    include_str!("../../lua/runner/follow.lua")
);
const RUNNER: &str = include_str!("../../lua/runner/shared.lua");
const STATES: &str = include_str!("../../lua/pool/states.lua");
const BREAKER: &str = concat!(
    include_str!("../../lua/idempotency.lua"),
    "\n",
    include_str!("../../lua/record.lua"),
    "\n",
    include_str!("../../lua/breaker/shared.lua")
);
const KEY: &str = include_str!("../../lua/key/shared.lua");

/// One script, which is one atomic transition.
#[derive(Debug)]
pub(super) struct Script {
    source: String,
    sha: String,
}

impl Script {
    fn new(shared: &str, body: &str) -> Self {
        let flags = body.lines().find_map(|line| line.strip_prefix("-- Flags: ")).map(str::trim);
        let flags = flags.map(|flags| format!(" flags={flags}")).unwrap_or_default();
        let source = format!("#!lua{flags}\n{PRELUDE}\n{shared}\n{body}");
        let sha = redis::Script::new(&source).get_hash().to_owned();
        Self { source, sha }
    }

    /// Calls the script. It is idempotent, so a client library may send it twice.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &[&str],
        args: &[&[u8]],
    ) -> RedisResult<T> {
        match command("EVALSHA", &self.sha, keys, args).query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                // EVAL, not SCRIPT LOAD and EVALSHA again: between the two it could be flushed anew.
                command("EVAL", &self.source, keys, args).query_async(connection).await
            }
            answer => answer,
        }
    }
}

fn command(verb: &str, script: &str, keys: &[&str], args: &[&[u8]]) -> Cmd {
    let mut cmd = Cmd::new();
    cmd.arg(verb).arg(script).arg(keys.len());
    for key in keys {
        cmd.arg(*key);
    }
    for arg in args {
        cmd.arg(*arg);
    }
    cmd
}

macro_rules! scripts {
    ($($name:ident = $shared:expr, $path:literal;)*) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new($shared, include_str!(concat!("../../lua/", $path))));)*

        /// Every script: its file under `lua/`, and its source as Redis gets it.
        pub fn scripts() -> impl Iterator<Item = (&'static str, &'static str)> {
            [$(($path, $name.source.as_str())),*].into_iter()
        }
    };
}

scripts! {
    DISPATCH_REUSE = "", "dispatch/reuse.lua";
    DISPATCH_ACQUIRE = DISPATCH, "dispatch/acquire.lua";
    DISPATCH_COMMIT = DISPATCH, "dispatch/commit.lua";
    DISPATCH_FAIL = DISPATCH, "dispatch/fail.lua";
    DISPATCH_RENEW = DISPATCH, "dispatch/renew.lua";
    DISPATCH_OBSERVE = DISPATCH, "dispatch/observe.lua";
    DISPATCH_END = DISPATCH, "dispatch/end.lua";
    DISPATCH_ENDED = DISPATCH, "dispatch/ended.lua";
    DISPATCH_TOMBSTONE = DISPATCH, "dispatch/tombstone.lua";
    DISPATCH_REPORT = DISPATCH, "dispatch/report.lua";
    DISPATCH_TOUCH = DISPATCH, "dispatch/touch.lua";
    DISPATCH_GET = DISPATCH, "dispatch/get.lua";
    DISPATCH_PAGE = DISPATCH, "dispatch/page.lua";
    DISPATCH_REPLAY = ONCE, "dispatch/replay.lua";
    ROOM_NOTICE = DISPATCH, "room/notice.lua";
    REAP_PROVIDER = DISPATCH, "reap/provider.lua";
    REAP_BEAT = DISPATCH, "reap/beat.lua";
    REAP_STORE = DISPATCH, "reap/store.lua";
    KEY_CREATE = KEY, "key/create.lua";
    KEY_REVOKE = KEY, "key/revoke.lua";
    KEY_GET = "", "key/get.lua";
    KEY_PAGE = "", "key/page.lua";
    AGENT_DRAIN = ONCE, "agent/drain.lua";
    LIMIT_BORROW = "", "limit/borrow.lua";
    QUOTA_TAKE = "", "quota/take.lua";
    QUOTA_GIVE = "", "quota/give.lua";
    ERROR_REPORT = ONCE, "error_report/report.lua";
    ERROR_PAGE = "", "error_report/page.lua";
    ERROR_GET = "", "error_report/get.lua";
    ERROR_FORGET = "", "error_report/forget.lua";
    ALERT_COUNT = "", "alert/count.lua";
    ALERT_JUDGE = "", "alert/judge.lua";
    ALERT_SNOOZE = ONCE, "alert/snooze.lua";
    ALERT_LIST = "", "alert/list.lua";
    SHARD_FLOOR = "", "shard/floor.lua";
    LOCK_ACQUIRE = LOCK, "lock/acquire.lua";
    LOCK_RENEW = LOCK, "lock/renew.lua";
    LOCK_RELEASE = LOCK, "lock/release.lua";
    LOCK_GET = LOCK, "lock/get.lua";
    BREAKER_PERMIT = BREAKER, "breaker/permit.lua";
    BREAKER_REPORT = BREAKER, "breaker/report.lua";
    BREAKER_GET = "", "breaker/get.lua";
    BREAKER_PAGE = "", "breaker/page.lua";
    BREAKER_FORCE = BREAKER, "breaker/force.lua";
    BREAKER_RESET = BREAKER, "breaker/reset.lua";
    POOL_DEFINE = POOL, "pool/define.lua";
    POOL_DELETE = POOL, "pool/delete.lua";
    POOL_GET = STATES, "pool/get.lua";
    POOL_PAGE = "", "pool/page.lua";
    POOL_PLAN = POOL, "pool/plan.lua";
    POOL_ACQUIRE = POOL, "pool/acquire.lua";
    LEASE_CONFIRM = POOL, "lease/confirm.lua";
    LEASE_RENEW = ONCE, "lease/renew.lua";
    LEASE_RELEASE = POOL, "lease/release.lua";
    LEASE_GET = "", "lease/get.lua";
    LEASE_OF_SESSION = "", "lease/of_session.lua";
    SESSION_PAGE = "", "session/page.lua";
    SESSION_GET = "", "session/get.lua";
    SESSION_END = POOL, "session/end.lua";
    WORKER_MARK = POOL, "worker/mark.lua";
    WORKER_GET = "", "worker/get.lua";
    WORKER_PAGE = "", "worker/page.lua";
    RUNNER_SYNC = POOL, "runner/sync.lua";
    RUNNER_WAIT = RUNNER, "runner/wait.lua";
    REAP_LEASE = POOL, "reap/lease.lua";
    REAP_POOL = POOL, "reap/pool.lua";
    LEADER_BEGIN = "", "leader/begin.lua";
    SCHEMA_CREATE = "", "schema/create.lua";
    SCHEMA_STEP = "", "schema/step.lua";
}
