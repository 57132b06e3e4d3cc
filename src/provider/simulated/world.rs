//! The rooms of the simulation, and what becomes of them as time passes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::dispatch::{NoticeKind, RoomNotice};
use crate::provider::{AgentPresence, Look, Person, ProviderDispatch, ProviderError, RoomTimeouts};

/// Of a room that is made without any, and of one made with zeros.
const DEFAULT_TIMEOUTS: RoomTimeouts = RoomTimeouts { empty_timeout_seconds: 300, departure_timeout_seconds: 20 };
const METADATA_BYTES_MAX: usize = 512 << 10;
/// How much of what is due is done at one call, so that no call takes long when much is due at once. More than
/// one call can add, so that nothing piles up.
const DUE_PER_CALL_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct World {
    rooms: HashMap<Arc<str>, Room>,
    /// Rooms whose closing has to be looked into, and agents that join, by time.
    due: BinaryHeap<Reverse<Due>>,
    now: Instant,
    start: Instant,
    start_since_epoch: Duration,
    join_delay: Duration,
    workers: bool,
    entries: usize,
    entries_max: usize,
    ids: u64,
    dispatches_made: u64,
    notices: Option<mpsc::Sender<RoomNotice>>,
}

#[derive(Debug)]
struct Room {
    /// Tells it from an earlier one of the same name.
    serial: u64,
    timeouts: RoomTimeouts,
    /// When the room was made or the last person left, and which time-out has run since then.
    empty_since: Instant,
    visited: bool,
    /// When its closing is looked into next; one that is due at another time is void.
    check_at: Instant,
    people: Vec<Person>,
    dispatches: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    id: String,
    agent: String,
    created_at_seconds: i64,
    metadata: String,
    attributes: HashMap<String, String>,
    presence: Presence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// No worker took the job; none ever will.
    Lost,
    /// In the room from then on.
    From(Instant),
    /// Was removed. Its job goes on being listed.
    Gone,
}

/// Ordered by time; the rest only makes it a total order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    serial: u64,
    room: Arc<str>,
    what: What,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The room may have been empty for long enough.
    Close,
    /// An agent comes in.
    AgentJoins,
}

impl Room {
    /// When the room closes if nobody comes. Agents do not hold it open.
    fn closes_at(&self) -> Option<Instant> {
        let RoomTimeouts { empty_timeout_seconds, departure_timeout_seconds } = self.timeouts;
        let seconds = if self.visited { departure_timeout_seconds } else { empty_timeout_seconds };
        self.people.is_empty().then(|| self.empty_since + Duration::from_secs(seconds.into()))
    }

    fn entries(&self) -> usize {
        1 + self.people.len() + self.dispatches.len()
    }
}

impl Entry {
    fn identity(&self) -> String {
        format!("agent-{}", self.id)
    }

    fn is_present(&self, now: Instant) -> bool {
        matches!(self.presence, Presence::From(time) if time <= now)
    }

    fn as_listed(&self, now: Instant) -> ProviderDispatch {
        let has_job = self.presence == Presence::Gone || self.is_present(now);
        ProviderDispatch {
            id: self.id.clone(),
            agent: self.agent.clone(),
            created_at_seconds: self.created_at_seconds,
            job_identities: if has_job { vec![self.identity()] } else { Vec::new() },
            metadata: self.metadata.clone(),
            attributes: self.attributes.clone(),
        }
    }
}

impl World {
    pub(super) fn new(join_delay: Duration, entries_max: usize, began_at: SystemTime) -> Self {
        let now = Instant::now();
        Self {
            rooms: HashMap::new(),
            due: BinaryHeap::new(),
            now,
            start: now,
            start_since_epoch: began_at.duration_since(UNIX_EPOCH).unwrap_or_default(),
            join_delay,
            workers: true,
            entries: 0,
            entries_max,
            ids: 0,
            dispatches_made: 0,
            notices: None,
        }
    }

    pub(super) fn subscribe(&mut self, notices: mpsc::Sender<RoomNotice>) {
        self.notices = Some(notices);
    }

    pub(super) fn set_workers(&mut self, available: bool) {
        self.workers = available;
    }

    pub(super) fn dispatches_made(&self) -> u64 {
        self.dispatches_made
    }

    /// How many rooms there are, and how many entries count against the bound.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        let entries: usize = self.rooms.values().map(Room::entries).sum();
        assert_eq!(entries, self.entries);
        (self.rooms.len(), self.entries)
    }

    #[cfg(test)]
    pub(super) fn due_len(&self) -> usize {
        self.due.len()
    }

    /// Does what is due by `now`, or the eldest part of it.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        for _ in 0..DUE_PER_CALL_MAX {
            let Some(Reverse(next)) = self.due.peek() else { break };
            if next.at > self.now {
                break;
            }
            if let Some(Reverse(due)) = self.due.pop() {
                self.perform(due);
            }
        }
    }

    pub(super) fn ensure_room(&mut self, name: &str, timeouts: RoomTimeouts) -> Result<(), ProviderError> {
        self.room(name, timeouts).map(|_| ())
    }

    pub(super) fn look(&mut self, name: &str, with_dispatches: bool) -> Look {
        self.close_if_due(name);
        let Some(room) = self.rooms.get(name) else { return Look::default() };
        let present = room.dispatches.iter().filter(|entry| entry.is_present(self.now));
        let listed = || room.dispatches.iter().map(|entry| entry.as_listed(self.now)).collect();
        Look {
            room_exists: true,
            people: room.people.clone(),
            agents: present
                .map(|entry| AgentPresence { identity: entry.identity(), name: Some(entry.agent.clone()) })
                .collect(),
            dispatches: with_dispatches.then(listed),
        }
    }

    pub(super) fn rooms(&self) -> Vec<String> {
        self.rooms.keys().map(|name| name.as_ref().to_owned()).collect()
    }

    pub(super) fn create(
        &mut self,
        name: &str,
        agent: &str,
        metadata: &str,
        attributes: HashMap<String, String>,
    ) -> Result<ProviderDispatch, ProviderError> {
        if metadata.len() > METADATA_BYTES_MAX {
            let detail = "metadata size exceeds limits".to_owned();
            return Err(ProviderError::Rejected { code: "invalid_argument".to_owned(), detail });
        }
        self.room(name, DEFAULT_TIMEOUTS)?;
        self.take_entry()?;
        let now = self.now;
        let joins_at = self.workers.then(|| now + self.join_delay);
        let entry = Entry {
            id: format!("AD_sim{}", self.next_id()),
            agent: agent.to_owned(),
            created_at_seconds: self.seconds(),
            metadata: metadata.to_owned(),
            attributes,
            presence: joins_at.map_or(Presence::Lost, Presence::From),
        };
        let listed = entry.as_listed(now);
        self.dispatches_made += 1;
        let room = self.room(name, DEFAULT_TIMEOUTS)?;
        room.dispatches.push(entry);
        let serial = room.serial;
        if let Some(at) = joins_at {
            self.due.push(Reverse(Due { at, serial, room: name.into(), what: What::AgentJoins }));
        }
        Ok(listed)
    }

    pub(super) fn delete(&mut self, name: &str, provider_id: &str) {
        self.close_if_due(name);
        let Some(room) = self.rooms.get_mut(name) else { return };
        let Some(index) = room.dispatches.iter().position(|entry| entry.id == provider_id) else { return };
        let entry = room.dispatches.swap_remove(index);
        self.entries -= 1;
        if entry.is_present(self.now) {
            self.notify(name, NoticeKind::AgentChanged);
        }
    }

    pub(super) fn remove_agent(&mut self, name: &str, identity: &str) {
        self.close_if_due(name);
        let now = self.now;
        let Some(room) = self.rooms.get_mut(name) else { return };
        let mut present = room.dispatches.iter_mut().filter(|entry| entry.is_present(now));
        if let Some(entry) = present.find(|entry| entry.identity() == identity) {
            entry.presence = Presence::Gone;
            self.notify(name, NoticeKind::AgentChanged);
        }
    }

    pub(super) fn person_joins(&mut self, name: &str) -> Result<String, ProviderError> {
        self.room(name, DEFAULT_TIMEOUTS)?;
        self.take_entry()?;
        let sid = format!("PA_sim{}", self.next_id());
        let person = Person { sid: sid.clone(), joined_at_seconds: self.seconds() };
        let room = self.room(name, DEFAULT_TIMEOUTS)?;
        room.people.push(person.clone());
        room.visited = true;
        self.notify(name, NoticeKind::PersonJoined(person));
        Ok(sid)
    }

    pub(super) fn person_leaves(&mut self, name: &str, sid: &str) -> bool {
        let now = self.now;
        let Some(room) = self.rooms.get_mut(name) else { return false };
        let Some(index) = room.people.iter().position(|person| person.sid == sid) else { return false };
        let person = room.people.swap_remove(index);
        if room.people.is_empty() {
            room.empty_since = now;
        }
        if let Some(at) = room.closes_at().filter(|at| *at < room.check_at) {
            room.check_at = at;
            let serial = room.serial;
            self.due.push(Reverse(Due { at, serial, room: name.into(), what: What::Close }));
        }
        self.entries -= 1;
        self.notify(name, NoticeKind::PersonLeft(person));
        true
    }

    pub(super) fn close_room(&mut self, name: &str) -> bool {
        let Some(room) = self.rooms.remove(name) else { return false };
        self.entries -= room.entries();
        self.notify(name, NoticeKind::RoomFinished);
        true
    }

    /// The room of that name, made with these time-outs if there is none.
    fn room(&mut self, name: &str, timeouts: RoomTimeouts) -> Result<&mut Room, ProviderError> {
        self.close_if_due(name);
        if !self.rooms.contains_key(name) {
            self.take_entry()?;
        }
        let key: Arc<str> = name.into();
        let Self { rooms, due, ids, now, .. } = self;
        Ok(rooms.entry(key).or_insert_with_key(|key| {
            *ids += 1;
            let mut room = Room {
                serial: *ids,
                timeouts: or_default(timeouts),
                empty_since: *now,
                visited: false,
                check_at: *now,
                people: Vec::new(),
                dispatches: Vec::new(),
            };
            room.check_at = room.closes_at().unwrap_or(*now);
            due.push(Reverse(Due { at: room.check_at, serial: room.serial, room: Arc::clone(key), what: What::Close }));
            room
        }))
    }

    fn close_if_due(&mut self, name: &str) {
        let closes_at = self.rooms.get(name).and_then(Room::closes_at);
        if closes_at.is_some_and(|time| time <= self.now) {
            self.close_room(name);
        }
    }

    fn perform(&mut self, due: Due) {
        self.close_if_due(&due.room);
        let Some(room) = self.rooms.get_mut(&due.room).filter(|room| room.serial == due.serial) else { return };
        match due.what {
            What::Close if room.check_at == due.at => {
                // With people there, the room cannot close before a departure time-out from now.
                let departure = Duration::from_secs(room.timeouts.departure_timeout_seconds.into());
                room.check_at = room.closes_at().unwrap_or(self.now + departure);
                let at = room.check_at;
                self.due.push(Reverse(Due { at, ..due }));
            }
            What::Close => {}
            What::AgentJoins => {
                // The dispatch may be deleted by now: a notice more does no harm.
                self.notify(&due.room, NoticeKind::AgentChanged);
            }
        }
    }

    fn take_entry(&mut self) -> Result<(), ProviderError> {
        if self.entries >= self.entries_max {
            return Err(ProviderError::Unavailable { detail: "the simulation is full".to_owned() });
        }
        self.entries += 1;
        Ok(())
    }

    fn notify(&mut self, room: &str, kind: NoticeKind) {
        let created_at_seconds = self.seconds();
        let event_id = format!("EV_sim{}", self.next_id());
        if let Some(notices) = &self.notices {
            let notice = RoomNotice { event_id, room: room.to_owned(), created_at_seconds, kind };
            // Full or closed: lost, like a webhook that nobody takes.
            drop(notices.try_send(notice));
        }
    }

    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn seconds(&self) -> i64 {
        let since_epoch = self.start_since_epoch + self.now.duration_since(self.start);
        i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
    }
}

fn or_default(timeouts: RoomTimeouts) -> RoomTimeouts {
    let or = |seconds, default| if seconds == 0 { default } else { seconds };
    RoomTimeouts {
        empty_timeout_seconds: or(timeouts.empty_timeout_seconds, DEFAULT_TIMEOUTS.empty_timeout_seconds),
        departure_timeout_seconds: or(timeouts.departure_timeout_seconds, DEFAULT_TIMEOUTS.departure_timeout_seconds),
    }
}
