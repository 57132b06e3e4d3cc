//! The provider's own log: what came to pass in its rooms, in order, each with its time.

use std::collections::HashMap;

use tokio::time::Instant;

use super::world::World;

/// Something that came to pass.
#[derive(Debug, Clone)]
pub(crate) struct Happening {
    /// When.
    pub(crate) at: Instant,
    /// In which room.
    pub(crate) room: String,
    /// What.
    pub(crate) what: What,
}

/// What can come to pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A dispatch was made.
    Dispatched { id: String, agent: String, attributes: HashMap<String, String> },
    /// A dispatch was deleted by a call.
    Deleted { id: String },
    /// An agent came.
    AgentCame { sid: String, agent: String, dispatch: String },
    /// An agent works no more, though it may be in the room for a while: told to end, deaf or dead.
    AgentStopped { sid: String, why: &'static str },
    /// A person came.
    PersonCame { sid: String },
    /// Somebody went, an agent or a person.
    Went { sid: String },
    /// The room was closed, with all dispatches that it had.
    Closed,
}

impl World {
    /// Remembers that something came to pass.
    pub(super) fn note(&mut self, at: Instant, room: &str, what: What) {
        self.log.push(Happening { at, room: room.to_owned(), what });
    }
}
