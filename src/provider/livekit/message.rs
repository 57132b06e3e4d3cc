//! What is read of the server's messages, the same in answers and in webhooks.
//!
//! Only the fields needed, and no list of enum names: the generated types refuse a whole message for one name
//! that they do not know yet, and the server drops a webhook that is refused. Field names come as `snake_case` in
//! answers and `camelCase` in webhooks; defaults may be left out.

use std::collections::HashMap;

use serde::Deserialize;

use crate::provider::{AgentPresence, Person, ProviderDispatch};

/// Attributes in which the server tells an agent's name.
const AGENT_NAME_ATTRIBUTES: [&str; 2] = ["lk.agent.name", "lk.agent_name"];

const NANOSECONDS_A_SECOND: i64 = 1_000_000_000;

#[derive(Deserialize)]
pub(super) struct Rooms {
    #[serde(default)]
    pub(super) rooms: Vec<Room>,
}

#[derive(Deserialize)]
pub(super) struct Room {
    #[serde(default)]
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct Participants {
    #[serde(default)]
    participants: Vec<Participant>,
}

#[derive(Deserialize)]
pub(super) struct Participant {
    #[serde(default)]
    pub(super) sid: String,
    #[serde(default)]
    identity: String,
    #[serde(default)]
    state: Word,
    #[serde(default, alias = "joinedAt")]
    joined_at: Integer,
    #[serde(default)]
    kind: Word,
    #[serde(default)]
    attributes: HashMap<String, String>,
}

#[derive(Deserialize)]
pub(super) struct Dispatches {
    #[serde(default)]
    agent_dispatches: Vec<Dispatch>,
}

#[derive(Deserialize)]
pub(super) struct Dispatch {
    #[serde(default)]
    id: String,
    #[serde(default)]
    agent_name: String,
    state: Option<DispatchState>,
    #[serde(default)]
    metadata: String,
    #[serde(default)]
    attributes: HashMap<String, String>,
}

#[derive(Deserialize, Default)]
struct DispatchState {
    #[serde(default)]
    jobs: Vec<Job>,
    #[serde(default)]
    created_at: Integer,
    #[serde(default)]
    deleted_at: Integer,
}

#[derive(Deserialize)]
struct Job {
    state: Option<JobState>,
}

#[derive(Deserialize)]
struct JobState {
    #[serde(default)]
    participant_identity: String,
}

/// A 64-bit integer: written as a string in protobuf's JSON, where a plain number is allowed too.
#[derive(Deserialize, Clone, Copy, Default)]
#[serde(try_from = "IntegerText")]
pub(super) struct Integer(pub(super) i64);

#[derive(Deserialize)]
#[serde(untagged)]
enum IntegerText {
    Plain(i64),
    Text(String),
}

impl TryFrom<IntegerText> for Integer {
    type Error = std::num::ParseIntError;

    fn try_from(text: IntegerText) -> Result<Self, Self::Error> {
        match text {
            IntegerText::Plain(number) => Ok(Self(number)),
            IntegerText::Text(text) => text.parse().map(Self),
        }
    }
}

/// A value of an enum: by name, or by number where the writer does not know the name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Name(String),
    Number(i64),
}

impl Default for Word {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl Word {
    fn is(&self, name: &str, number: i64) -> bool {
        match self {
            Self::Name(found) => found == name,
            Self::Number(found) => *found == number,
        }
    }
}

/// What a participant is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Person,
    Agent,
    /// A recorder or an ingress.
    Machine,
}

impl Participant {
    /// A kind that this code does not know is a person's: a call by telephone is, and so may be what comes next.
    pub(super) fn who(&self) -> Who {
        if self.kind.is("AGENT", 4) {
            Who::Agent
        } else if self.kind.is("INGRESS", 1) || self.kind.is("EGRESS", 2) {
            Who::Machine
        } else {
            Who::Person
        }
    }

    pub(super) fn person(self) -> Person {
        Person { sid: self.sid, joined_at_seconds: self.joined_at.0 }
    }

    fn agent(self) -> AgentPresence {
        let name = AGENT_NAME_ATTRIBUTES.iter().find_map(|key| self.attributes.get(*key));
        let name = name.filter(|name| !name.is_empty()).cloned();
        AgentPresence { identity: self.identity, name }
    }
}

impl Participants {
    /// The people and the agents that are there.
    pub(super) fn sort(self) -> (Vec<Person>, Vec<AgentPresence>) {
        let mut people = Vec::new();
        let mut agents = Vec::new();
        for participant in self.participants {
            if participant.state.is("DISCONNECTED", 3) {
                continue;
            }
            match participant.who() {
                Who::Person => people.push(participant.person()),
                Who::Agent => agents.push(participant.agent()),
                Who::Machine => {}
            }
        }
        (people, agents)
    }
}

impl Dispatches {
    /// Those for a named agent that are not deleted. A room made without agents lists one without a name,
    /// which stands for any nameless worker.
    pub(super) fn named(self) -> Vec<ProviderDispatch> {
        let is_deleted = |found: &Dispatch| found.state.as_ref().is_some_and(|state| state.deleted_at.0 != 0);
        let named = self.agent_dispatches.into_iter().filter(|found| !found.agent_name.is_empty());
        named.filter(|found| !is_deleted(found)).map(Dispatch::into_ours).collect()
    }
}

impl Dispatch {
    pub(super) fn into_ours(self) -> ProviderDispatch {
        let state = self.state.unwrap_or_default();
        let identity = |job: Job| job.state.map(|state| state.participant_identity).unwrap_or_default();
        ProviderDispatch {
            id: self.id,
            agent: self.agent_name,
            created_at_seconds: state.created_at.0 / NANOSECONDS_A_SECOND,
            job_identities: state.jobs.into_iter().map(identity).collect(),
            metadata: self.metadata,
            attributes: self.attributes,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The answers that a real server gave to `method`, in order.
    fn recorded(method: &str) -> Vec<Value> {
        let steps: Vec<Value> =
            serde_json::from_str(include_str!("../../../tests/fixtures/livekit/happy_path.json")).expect("a recording");
        steps.into_iter().filter(|step| step["method"] == method).map(|mut step| step["response"].take()).collect()
    }

    #[test]
    fn recorded_participants() {
        let mut seen = Vec::new();
        for answer in recorded("RoomService/ListParticipants") {
            let participants: Participants = serde_json::from_value(answer).expect("participants");
            let (people, agents) = participants.sort();
            assert!(agents.iter().all(|agent| agent.name.as_deref() == Some("pybot")));
            seen.push((people.len(), agents.len()));
        }
        seen.dedup();
        assert_eq!(seen, [(0, 1), (1, 1), (0, 1), (0, 0)]);
    }

    #[test]
    fn recorded_dispatches() {
        let made: Dispatch =
            serde_json::from_value(recorded("AgentDispatchService/CreateDispatch").remove(0)).expect("a dispatch");
        let made = made.into_ours();
        assert_eq!((made.id.as_str(), made.created_at_seconds), ("AD_tDqgyEjCH74Q", 1_795_246_001));
        assert_eq!(made.attributes["key"], "value");
        let listed: Dispatches =
            serde_json::from_value(recorded("AgentDispatchService/ListDispatch").remove(0)).expect("dispatches");
        let expected = ProviderDispatch { job_identities: vec!["bot-AJ_MJYhogYkvoX5".to_owned()], ..made };
        assert_eq!(listed.named(), [expected]);
    }

    #[test]
    fn recorded_rooms() {
        for answer in recorded("RoomService/ListRooms") {
            let rooms: Rooms = serde_json::from_value(answer).expect("rooms");
            assert!(rooms.rooms.iter().all(|room| room.name == "happy-1"));
        }
    }
}
