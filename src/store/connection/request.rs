//! What is sent: a script by its hash, or a command.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Arg, FromRedisValue, RedisFuture, RedisResult, Value};

use crate::store::script::Script;

/// A script or a command. All keys of a script are in one slot.
#[derive(Clone, Copy)]
pub(in crate::store) enum Request<'a> {
    /// A script.
    Script { script: &'a Script, keys: &'a [&'a str], args: &'a [&'a [u8]] },
    /// A command; its first argument, if any, is its key.
    Command(&'a redis::Cmd),
}

impl<'a> Request<'a> {
    /// The key that tells which master of a Cluster is meant.
    pub(super) fn key(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Script { keys, .. } => keys.first().map(|key| key.as_bytes()),
            Self::Command(command) => command.args_iter().nth(1).and_then(|arg| match arg {
                Arg::Simple(key) => Some(key),
                _ => None,
            }),
        }
    }

    pub(super) async fn send<T: FromRedisValue>(self, connection: &mut impl ConnectionLike) -> RedisResult<T> {
        match self {
            Self::Script { script, keys, args } => script.call(connection, keys, args).await,
            Self::Command(command) => command.query_async(connection).await,
        }
    }
}

/// A connection on which every command is announced by `ASKING`: to the node that takes a slot over.
pub(super) struct Asking<'a>(pub(super) &'a mut MultiplexedConnection);

impl ConnectionLike for Asking<'_> {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a redis::Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            // In one piece, so that no other call comes between the two.
            let mut both = redis::pipe();
            both.cmd("ASKING").add_command(cmd.clone());
            let mut answers = self.0.req_packed_commands(&both, 1, 1).await?;
            answers.pop().unwrap_or(Value::Nil).extract_error()
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a redis::Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.0.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}
