//! The Lua scripts: put together when the program starts, called by hash, sent whole where Redis
//! does not know them (after `SCRIPT FLUSH`, a restart, a fail-over).

use std::sync::LazyLock;

use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind};

/// The file under `lua/`.
macro_rules! lua {
    ($path:literal) => {
        include_str!(concat!("../../lua/", $path))
    };
}

// What is prepended to scripts, which get only what they use: Redis makes each function of it anew in every call.
const PRELUDE: &str = lua!("prelude.lua");
const ONCE: &[&str] = &[lua!("idempotency.lua")];
const BRAKE: &[&str] = &[lua!("reap/brake.lua")];
const LOCK: &[&str] = &[lua!("lock/shared.lua")];
const KEY: &[&str] = &[lua!("key/shared.lua")];
const BREAKER: &[&str] = &[lua!("idempotency.lua"), lua!("record.lua"), lua!("breaker/shared.lua")];
const DISPATCH: &[&str] = &[
    lua!("idempotency.lua"),
    lua!("record.lua"),
    lua!("dispatch/habit.lua"),
    lua!("dispatch/shared.lua"),
    lua!("reap/brake.lua"),
    lua!("dispatch/rules.lua"),
];
const STATES: &[&str] = &[lua!("pool/states.lua")];
const POOL: &[&str] = &[
    lua!("idempotency.lua"),
    lua!("record.lua"),
    lua!("pool/states.lua"),
    lua!("pool/recovery.lua"),
    lua!("pool/shared.lua"),
    lua!("pool/keyed.lua"),
    lua!("pool/save.lua"),
];
const LEASE: &[&str] = &[lua!("lease/shared.lua")];
const MEASURES: &[&str] = &[lua!("pool/measures.lua")];
const DEMAND: &[&str] = &[lua!("pool/measures.lua"), lua!("pool/demand.lua")];
const FAILURE: &[&str] = &[lua!("pool/measures.lua"), lua!("pool/failure.lua")];
const RUNNER: &[&str] = &[lua!("runner/shared.lua")];
const REPORT: &[&str] = &[lua!("runner/shared.lua"), lua!("runner/follow.lua")];

/// One script, which is one atomic transition.
#[derive(Debug)]
pub(super) struct Script {
    source: String,
    sha: String,
}

impl Script {
    fn new(shared: &[&[&str]], body: &str) -> Self {
        let flags = body.lines().find_map(|line| line.strip_prefix("-- Flags: ")).map(str::trim);
        let flags = flags.map(|flags| format!(" flags={flags}")).unwrap_or_default();
        let shared = shared.concat().join("\n");
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
            LazyLock::new(|| Script::new(&$shared, lua!($path)));)*

        /// Every script: its file under `lua/`, and its source as Redis gets it.
        pub fn scripts() -> impl Iterator<Item = (&'static str, &'static str)> {
            [$(($path, $name.source.as_str())),*].into_iter()
        }
    };
}

scripts! {
    DISPATCH_REUSE = [], "dispatch/reuse.lua";
    DISPATCH_ACQUIRE = [DISPATCH], "dispatch/acquire.lua";
    DISPATCH_COMMIT = [DISPATCH], "dispatch/commit.lua";
    DISPATCH_FAIL = [DISPATCH], "dispatch/fail.lua";
    DISPATCH_RENEW = [DISPATCH], "dispatch/renew.lua";
    DISPATCH_OBSERVE = [DISPATCH], "dispatch/observe.lua";
    DISPATCH_END = [DISPATCH], "dispatch/end.lua";
    DISPATCH_ENDED = [DISPATCH], "dispatch/ended.lua";
    DISPATCH_TOMBSTONE = [DISPATCH], "dispatch/tombstone.lua";
    DISPATCH_REPORT = [DISPATCH], "dispatch/report.lua";
    DISPATCH_TOUCH = [DISPATCH], "dispatch/touch.lua";
    DISPATCH_GET = [DISPATCH], "dispatch/get.lua";
    DISPATCH_PAGE = [DISPATCH], "dispatch/page.lua";
    DISPATCH_REPLAY = [ONCE], "dispatch/replay.lua";
    ROOM_NOTICE = [DISPATCH], "room/notice.lua";
    REAP_PROVIDER = [DISPATCH], "reap/provider.lua";
    REAP_BEAT = [DISPATCH], "reap/beat.lua";
    REAP_STORE = [DISPATCH], "reap/store.lua";
    KEY_CREATE = [KEY], "key/create.lua";
    KEY_REVOKE = [KEY], "key/revoke.lua";
    KEY_GET = [], "key/get.lua";
    KEY_PAGE = [], "key/page.lua";
    AGENT_DRAIN = [ONCE], "agent/drain.lua";
    LIMIT_BORROW = [], "limit/borrow.lua";
    QUOTA_TAKE = [], "quota/take.lua";
    QUOTA_GIVE = [], "quota/give.lua";
    ERROR_REPORT = [ONCE], "error_report/report.lua";
    ERROR_PAGE = [], "error_report/page.lua";
    ERROR_GET = [], "error_report/get.lua";
    ERROR_FORGET = [], "error_report/forget.lua";
    ALERT_COUNT = [], "alert/count.lua";
    ALERT_JUDGE = [], "alert/judge.lua";
    ALERT_SNOOZE = [ONCE], "alert/snooze.lua";
    ALERT_LIST = [], "alert/list.lua";
    SHARD_FLOOR = [], "shard/floor.lua";
    LOCK_ACQUIRE = [LOCK], "lock/acquire.lua";
    LOCK_RENEW = [LOCK], "lock/renew.lua";
    LOCK_RELEASE = [LOCK], "lock/release.lua";
    LOCK_GET = [LOCK], "lock/get.lua";
    BREAKER_PERMIT = [BREAKER], "breaker/permit.lua";
    BREAKER_REPORT = [BREAKER], "breaker/report.lua";
    BREAKER_GET = [], "breaker/get.lua";
    BREAKER_PAGE = [], "breaker/page.lua";
    BREAKER_FORCE = [BREAKER], "breaker/force.lua";
    BREAKER_RESET = [BREAKER], "breaker/reset.lua";
    POOL_DEFINE = [POOL], "pool/define.lua";
    POOL_DELETE = [POOL], "pool/delete.lua";
    POOL_GET = [STATES], "pool/get.lua";
    POOL_PAGE = [], "pool/page.lua";
    POOL_PLAN = [POOL, DEMAND], "pool/plan.lua";
    POOL_ACQUIRE = [POOL, MEASURES], "pool/acquire.lua";
    LEASE_CONFIRM = [POOL], "lease/confirm.lua";
    LEASE_RENEW = [ONCE, LEASE], "lease/renew.lua";
    LEASE_RELEASE = [POOL], "lease/release.lua";
    LEASE_GET = [], "lease/get.lua";
    LEASE_OF_SESSION = [LEASE], "lease/of_session.lua";
    SESSION_PAGE = [], "session/page.lua";
    SESSION_GET = [], "session/get.lua";
    SESSION_END = [POOL], "session/end.lua";
    WORKER_MARK = [POOL], "worker/mark.lua";
    WORKER_GET = [], "worker/get.lua";
    WORKER_PAGE = [], "worker/page.lua";
    RUNNER_SYNC = [POOL, FAILURE, REPORT], "runner/sync.lua";
    RUNNER_WAIT = [RUNNER], "runner/wait.lua";
    REAP_LEASE = [POOL, FAILURE, BRAKE], "reap/lease.lua";
    REAP_POOL = [POOL, FAILURE], "reap/pool.lua";
    LEADER_BEGIN = [], "leader/begin.lua";
    SCHEMA_CREATE = [], "schema/create.lua";
    SCHEMA_STEP = [], "schema/step.lua";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn without_comments(source: &str) -> String {
        source.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
    }

    fn functions(source: &str) -> BTreeSet<&str> {
        source.split("function ").skip(1).filter_map(|rest| Some(rest.split_once('(')?.0)).collect()
    }

    /// Redis would find out only when the script comes to such a call.
    #[test]
    fn every_script_has_the_functions_that_it_calls() {
        let sources: Vec<_> = scripts().map(|(path, source)| (path, without_comments(source))).collect();
        let all: BTreeSet<_> = sources.iter().flat_map(|(_, source)| functions(source)).collect();
        assert!(all.contains("save_all") && all.contains("term_is_over"), "{all:?}");
        for (path, source) in &sources {
            let own = functions(source);
            let calls: BTreeSet<_> = source
                .match_indices('(')
                .filter_map(|(at, _)| {
                    source[..at].rsplit(|c: char| !c.is_ascii_alphanumeric() && !"_.:".contains(c)).next()
                })
                .collect();
            for missing in all.difference(&own) {
                assert!(!calls.contains(missing), "{path} calls {missing}, which is not prepended to it");
            }
        }
    }
}
