//! What runner and worker say to each other: 4 bytes of length, big-endian, then one JSON object of at most 1 MiB.
//!
//! `docs/worker-protocol.md` is the description for authors of workers. Nothing of what a frame holds is ever logged:
//! assignments carry secrets, and what a worker says may repeat them.

use std::collections::BTreeMap;
use std::io;

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The version of the protocol that this is.
pub const PROTOCOL: u32 = 1;
/// The longest frame, without its length.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Variables of an assignment, whose values are secrets.
pub type Environment = BTreeMap<String, SecretString>;

/// What a session may leave behind in a worker; a reset clears each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// What was said.
    Conversation,
    /// What was looked up.
    Caches,
    /// Sound that was heard or is to be heard.
    Audio,
    /// Who it was, and what they like.
    UserContext,
    /// Variables, secrets among them.
    Environment,
    /// Anything else that is remembered.
    Memory,
}

impl Item {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Conversation, Self::Caches, Self::Audio, Self::UserContext, Self::Environment, Self::Memory];

    /// As it stands in frames.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conversation => "conversation",
            Self::Caches => "caches",
            Self::Audio => "audio",
            Self::UserContext => "user_context",
            Self::Environment => "environment",
            Self::Memory => "memory",
        }
    }
}

/// What a runner says to a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToWorker {
    /// First of all.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// The worker's id.
        worker: String,
        /// Its pool.
        pool: String,
        /// How often its health is asked for.
        health_seconds: u64,
    },
    /// A session begins.
    Assign {
        /// Comes back with the answer.
        seq: u64,
        /// The lease of the session.
        lease: String,
        /// The session's id.
        session: String,
        /// Its variables.
        #[serde(serialize_with = "exposed_map", default)]
        environment: Environment,
        /// What else whoever asked for the session hands over.
        #[serde(serialize_with = "exposed", default)]
        metadata: SecretString,
        /// A random phrase that is put into every item, to be looked for after the reset.
        #[serde(serialize_with = "exposed")]
        canary: SecretString,
    },
    /// How are you?
    Health {
        /// Comes back with the answer.
        seq: u64,
    },
    /// Forget the session.
    Reset {
        /// Comes back with the answer.
        seq: u64,
        /// What is to be cleared.
        items: Vec<Item>,
    },
    /// Who still holds the phrase?
    Check {
        /// Comes back with the answer.
        seq: u64,
        /// The phrase.
        #[serde(serialize_with = "exposed")]
        canary: SecretString,
    },
    /// Finish, and exit.
    Drain {},
    /// What a newer runner says; it is ignored.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// What a worker says to its runner.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromWorker {
    /// First of all.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// What it was written with.
        #[serde(default)]
        sdk: String,
    },
    /// All is loaded: a session may begin.
    Ready {
        /// Where its sessions reach it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<String>,
    },
    /// The session was taken.
    Assigned {
        /// That of the assignment.
        seq: u64,
    },
    /// The session was not taken.
    Refused {
        /// That of the assignment.
        seq: u64,
        /// Why.
        #[serde(default)]
        reason: String,
    },
    /// All is well.
    Healthy {
        /// That of the question.
        seq: u64,
        /// Requests served since the start.
        #[serde(default)]
        requests: u64,
        /// Those that failed.
        #[serde(default)]
        errors: u64,
    },
    /// Something is wrong.
    Unhealthy {
        /// That of the question.
        seq: u64,
        /// What.
        #[serde(default)]
        reason: String,
    },
    /// What was cleared, and what was not.
    ResetDone {
        /// That of the reset.
        seq: u64,
        /// By name of the item.
        items: BTreeMap<String, bool>,
    },
    /// What still holds the phrase.
    Checked {
        /// That of the check.
        seq: u64,
        /// Names of items.
        held_by: Vec<String>,
    },
    /// The session is over, says the worker.
    Release {
        /// Its lease.
        lease: String,
    },
    /// What a newer worker says; it is ignored.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// Why no frame came of it. What was received is not told.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side cannot be reached any more.
    #[error("the pipe broke")]
    Io(#[from] io::Error),
    /// The length says more than is allowed; what it was, follows.
    #[error("a frame of {0} bytes, more than {FRAME_BYTES_MAX}")]
    TooLong(usize),
    /// It is no JSON object of the protocol.
    #[error("a frame that is no message")]
    Garbage,
}

/// Reads one frame; `None` where the other side has closed between two of them.
pub async fn read<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> Result<Option<T>, FrameError> {
    let mut length = [0; 4];
    if from.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut length[1..]).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    // Serde would take a list for an object as well.
    if body.first() != Some(&b'{') {
        return Err(FrameError::Garbage);
    }
    serde_json::from_slice(&body).map(Some).map_err(|_| FrameError::Garbage)
}

/// Writes one frame.
pub async fn write<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), message: &T) -> Result<(), FrameError> {
    let body = serde_json::to_vec(message).map_err(|_| FrameError::Garbage)?;
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    if body.len() > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(body.len()));
    }
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&body);
    to.write_all(&frame).await?;
    Ok(to.flush().await?)
}

fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

fn exposed_map<S: Serializer>(secrets: &Environment, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(secrets.iter().map(|(name, secret)| (name, secret.expose_secret())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
    }

    async fn read_all(mut bytes: &[u8]) -> Result<Option<FromWorker>, FrameError> {
        read(&mut bytes).await
    }

    #[tokio::test]
    async fn a_frame_is_read_as_it_was_written() {
        let assign = ToWorker::Assign {
            seq: 7,
            lease: "lse_3_a".to_owned(),
            session: "s".to_owned(),
            environment: [("KEY".to_owned(), "väl\nue".into())].into(),
            metadata: "{}".into(),
            canary: "phrase".into(),
        };
        let mut bytes = Vec::new();
        write(&mut bytes, &assign).await.unwrap();
        write(&mut bytes, &ToWorker::Drain {}).await.unwrap();
        let shown = format!("{assign:?}");
        assert!(!shown.contains("väl") && !shown.contains("phrase"), "{shown}");
        let mut from = &bytes[..];
        let Some(ToWorker::Assign { seq: 7, environment, canary, .. }) = read(&mut from).await.unwrap() else {
            panic!("another frame")
        };
        assert_eq!((environment["KEY"].expose_secret(), canary.expose_secret()), ("väl\nue", "phrase"));
        assert!(matches!(read(&mut from).await, Ok(Some(ToWorker::Drain {}))));
        assert!(matches!(read::<ToWorker>(&mut from).await, Ok(None)));
    }

    #[tokio::test]
    async fn a_frame_may_be_as_long_as_the_limit_and_not_a_byte_more() {
        let longest = format!("{{\"type\":\"release\",\"lease\":\"{}\"}}", "x".repeat(FRAME_BYTES_MAX - 29));
        assert_eq!(longest.len(), FRAME_BYTES_MAX);
        assert!(matches!(read_all(&frame(longest.as_bytes())).await, Ok(Some(FromWorker::Release { .. }))));
        // Nothing is read, or made room for, once the length is too much.
        let over = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
        assert!(matches!(read_all(&over).await, Err(FrameError::TooLong(_))));
        assert!(matches!(read_all(b"Hello, world").await, Err(FrameError::TooLong(_))));
        let big = FromWorker::Release { lease: "x".repeat(FRAME_BYTES_MAX) };
        let mut bytes = Vec::new();
        assert!(matches!(write(&mut bytes, &big).await, Err(FrameError::TooLong(_))));
        assert!(bytes.is_empty());
    }

    #[tokio::test]
    async fn what_is_no_message_is_garbage_and_what_is_cut_off_a_broken_pipe() {
        for garbage in ["", "null", "[]", "{}", "{\"type\":\"assigned\"}", "{\"type\":\"ready\"", "\u{1}"] {
            let read = read_all(&frame(garbage.as_bytes())).await;
            assert!(matches!(read, Err(FrameError::Garbage)), "{garbage}: {read:?}");
        }
        assert!(matches!(read_all(&frame(b"{\"type\":\"\xff\"}")).await, Err(FrameError::Garbage)));
        let whole = frame(b"{\"type\":\"ready\"}");
        for end in 1..whole.len() {
            assert!(matches!(read_all(&whole[..end]).await, Err(FrameError::Io(_))), "{end}");
        }
        assert!(matches!(read_all(&whole).await, Ok(Some(FromWorker::Ready { endpoint: None }))));
    }

    #[tokio::test]
    async fn what_a_newer_worker_says_is_let_pass() {
        assert!(matches!(read_all(&frame(b"{\"type\":\"dance\",\"x\":1}")).await, Ok(Some(FromWorker::Unknown))));
        let more = frame(b"{\"type\":\"ready\",\"endpoint\":\"http://x\",\"x\":[1]}");
        assert!(matches!(read_all(&more).await, Ok(Some(FromWorker::Ready { endpoint: Some(_) }))));
    }

    #[test]
    fn items_have_one_name() {
        for item in Item::ALL {
            assert_eq!(serde_json::to_value(item).unwrap(), item.as_str());
        }
    }
}
