//! What a worker does with its jobs, and its agents with the people.

use std::time::Duration;

use livekit_protocol as proto;

/// What becomes of a job that a worker gets.
#[expect(clippy::struct_excessive_bools, reason = "independent traits")]
#[derive(Debug, Clone)]
pub(crate) struct WorkerBehaviour {
    pub(super) rejects: bool,
    pub(super) capacity: usize,
    pub(super) joins_after: Option<Duration>,
    pub(super) close_on_disconnect: bool,
    pub(super) stubborn: bool,
    pub(super) session: bool,
    pub(super) ends_after: Option<Duration>,
    pub(super) dies_after: Option<Duration>,
    pub(super) reports: bool,
    pub(super) identity_prefix: String,
    pub(super) participant: proto::ParticipantInfo,
}

impl WorkerBehaviour {
    /// An `AgentSession` with the framework's defaults: deaf once its linked person has left.
    pub(crate) fn session() -> Self {
        Self {
            rejects: false,
            capacity: usize::MAX,
            joins_after: None,
            close_on_disconnect: true,
            stubborn: false,
            session: true,
            ends_after: None,
            dies_after: None,
            reports: false,
            identity_prefix: "agent".to_owned(),
            participant: proto::ParticipantInfo::default(),
        }
    }

    /// An `AgentSession` with `close_on_disconnect=False`: it serves whoever comes, until it is told to end.
    pub(crate) fn long_lived() -> Self {
        Self { close_on_disconnect: false, ..Self::session() }
    }

    /// An agent without a session, which does not go when it is told to end.
    pub(crate) fn stubborn() -> Self {
        Self { close_on_disconnect: false, stubborn: true, session: false, ..Self::session() }
    }

    /// Rejects every job.
    pub(crate) fn rejecting() -> Self {
        Self { rejects: true, ..Self::session() }
    }

    /// Takes no more than `jobs` at a time.
    pub(crate) fn capacity(self, jobs: usize) -> Self {
        Self { capacity: jobs, ..self }
    }

    /// Loads models first: the job runs, the agent comes after `delay`.
    pub(crate) fn joins_after(self, delay: Duration) -> Self {
        Self { joins_after: Some(delay), ..self }
    }

    /// The agent leaves by itself, or its entry point raises: the server sees no difference.
    pub(crate) fn ends_after(self, delay: Duration) -> Self {
        Self { ends_after: Some(delay), ..self }
    }

    /// The agent's process is killed this long after it joined, and nobody notices for a while.
    pub(crate) fn dies_after(self, delay: Duration) -> Self {
        Self { dies_after: Some(delay), ..self }
    }

    /// The agent reports to the address in its job's attributes that it lives.
    pub(crate) fn reporting(self) -> Self {
        Self { reports: true, ..self }
    }

    /// How the worker lets its agents appear: the identity is `<prefix>-<job>` instead of `agent-<job>`.
    pub(crate) fn presents(self, prefix: &str, name: &str, metadata: &str, attributes: &[(&str, &str)]) -> Self {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let participant = proto::ParticipantInfo {
            name: name.to_owned(),
            metadata: metadata.to_owned(),
            attributes: attributes.collect(),
            ..Default::default()
        };
        Self { identity_prefix: prefix.to_owned(), participant, ..self }
    }
}
