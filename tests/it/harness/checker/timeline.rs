//! The provider's log as lives: of dispatches, agents and people.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use greenroom::provider::ATTRIBUTE_ID;

use super::Record;
use crate::standin::What;

/// From when to when something was there.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) room: String,
    pub(super) from: Duration,
    pub(super) to: Duration,
}

/// A dispatch at the provider.
#[derive(Debug, Clone)]
pub(super) struct MadeDispatch {
    pub(super) provider_id: String,
    /// Greenroom's id, as the attributes have it.
    pub(super) id: String,
    pub(super) agent: String,
    pub(super) life: Life,
    /// Whether a call deleted it; else it went with its room, or is there.
    pub(super) deleted: bool,
}

/// An agent while it works.
#[derive(Debug, Clone)]
pub(super) struct Worked {
    pub(super) agent: String,
    pub(super) provider_id: String,
    pub(super) life: Life,
}

/// All of it.
pub(super) struct Timeline {
    pub(super) dispatches: Vec<MadeDispatch>,
    pub(super) agents: Vec<Worked>,
    pub(super) people: Vec<Life>,
}

impl Timeline {
    pub(super) fn of(record: &Record) -> Self {
        let mut dispatches: Vec<MadeDispatch> = Vec::new();
        let mut agents: HashMap<&str, Worked> = HashMap::new();
        let mut people: HashMap<&str, Life> = HashMap::new();
        for happening in &record.log {
            let (at, room) = (record.at(happening), &happening.room);
            let life = || Life { room: room.clone(), from: at, to: Duration::MAX };
            let end = |life: &mut Life| life.to = life.to.min(at);
            match &happening.what {
                What::Dispatched { id, agent, attributes } => {
                    let own = attributes.get(ATTRIBUTE_ID).cloned().unwrap_or_default();
                    let (provider_id, agent) = (id.clone(), agent.clone());
                    dispatches.push(MadeDispatch { provider_id, id: own, agent, life: life(), deleted: false });
                }
                What::Deleted { id } => {
                    for dispatch in dispatches.iter_mut().filter(|dispatch| dispatch.provider_id == *id) {
                        end(&mut dispatch.life);
                        dispatch.deleted = true;
                    }
                }
                What::Closed => {
                    let of_room = dispatches.iter_mut().filter(|dispatch| dispatch.life.room == *room);
                    of_room.for_each(|dispatch| end(&mut dispatch.life));
                }
                What::AgentCame { sid, agent, dispatch } => {
                    let (agent, provider_id, life) = (agent.clone(), dispatch.clone(), life());
                    agents.insert(sid, Worked { agent, provider_id, life });
                }
                What::PersonCame { sid } => drop(people.insert(sid, life())),
                What::AgentStopped { sid, .. } => drop(agents.get_mut(sid.as_str()).map(|one| end(&mut one.life))),
                What::Went { sid } => {
                    let agent = agents.get_mut(sid.as_str()).map(|one| &mut one.life);
                    agent.or_else(|| people.get_mut(sid.as_str())).into_iter().for_each(end);
                }
            }
        }
        Self { dispatches, agents: agents.into_values().collect(), people: people.into_values().collect() }
    }

    /// The times in which two agents of one name or more worked in a room.
    pub(super) fn overlaps(&self) -> Vec<Life> {
        let mut turns: BTreeMap<(&str, &str), Vec<(Duration, i32)>> = BTreeMap::new();
        for Worked { agent, life, .. } in &self.agents {
            let turns = turns.entry((&life.room, agent)).or_default();
            turns.extend([(life.from, 1), (life.to, -1)]);
        }
        let mut overlaps = Vec::new();
        for ((room, _), mut turns) in turns {
            // Who goes when another comes was not there with it.
            turns.sort_unstable();
            let (mut there, mut since) = (0, Duration::ZERO);
            for (at, turn) in turns {
                there += turn;
                if there == 2 && turn == 1 {
                    since = at;
                } else if there == 1 && turn == -1 {
                    overlaps.push(Life { room: room.to_owned(), from: since, to: at });
                }
            }
        }
        overlaps
    }

    /// Whether one of those that worked meanwhile came after its dispatch was deleted: LiveKit lets a job join that it
    /// did not list yet, so nobody can wait for it.
    pub(super) fn somebody_came_late(&self, overlap: &Life) -> bool {
        let meanwhile =
            |one: &&Worked| one.life.room == overlap.room && one.life.from <= overlap.to && one.life.to >= overlap.from;
        let was_deleted = |one: &Worked| {
            let its_own = |made: &&MadeDispatch| made.provider_id == one.provider_id;
            self.dispatches.iter().filter(its_own).any(|made| made.deleted && made.life.to <= one.life.from)
        };
        self.agents.iter().filter(meanwhile).any(was_deleted)
    }

    /// Whether somebody was in the room all that time.
    pub(super) fn somebody_was_there(&self, room: &str, from: Duration, to: Duration) -> bool {
        self.people.iter().any(|life| life.room == room && life.from <= from && life.to >= to)
    }
}
