//! Everything that the stand-in knows, and what is due when. Plain state: no waiting, no input or
//! output. Whoever looks first lets the time pass with [`World::advance`], so an answer never
//! depends on when a timer fired.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use livekit_protocol as proto;
use tokio::time::Instant;

use super::happening::Happening;
use super::method::Method;
use super::rooms::Room;
use super::timings::Timings;
use super::workers::{Joining, Worker, WorkerId};

/// What will happen by itself.
#[derive(Debug)]
pub(super) enum Event {
    /// A worker gets a job.
    Launch { room_sid: String, dispatch: Box<proto::AgentDispatch>, worker: WorkerId, listed_at: Instant },
    /// A job shows in its dispatch.
    List { room_sid: String, job: Box<proto::Job> },
    /// An agent comes into its room.
    Join(Box<Joining>),
    /// A participant becomes `ACTIVE`.
    Activate { room: String, sid: String },
    /// An `AgentSession` says that it listens.
    Listen { room: String, sid: String },
    /// A participant goes by itself.
    Leave { room: String, sid: String },
    /// A participant's process dies without a word.
    Die { room: String, sid: String },
    /// A participant is thrown out.
    Remove { room: String, sid: String, reason: proto::DisconnectReason },
    /// An empty room is looked at.
    CheckRoom { room: String, room_sid: String },
}

#[derive(Debug)]
struct Due {
    at: Instant,
    number: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// One call that was made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// What was called.
    pub(crate) method: Method,
    /// About which room; empty where the request names none.
    pub(crate) room: String,
    /// When it came in.
    pub(crate) at: Instant,
}

/// The whole state.
#[derive(Debug)]
pub(crate) struct World {
    pub(super) timings: Timings,
    pub(super) rooms: HashMap<String, Room>,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    /// When the names of all workers were last asked for.
    pub(super) names_asked_at: Option<Instant>,
    /// Jobs that were ended before their agent came.
    pub(super) cancelled_jobs: HashSet<String>,
    /// Dispatches ever created, per room and agent.
    pub(super) created: HashMap<(String, String), usize>,
    /// The most working agents at once, per room and agent.
    pub(super) overlaps: HashMap<(String, String), usize>,
    pub(super) calls: Vec<Call>,
    pub(super) log: Vec<Happening>,
    /// Webhooks to be sent.
    pub(super) outbox: Vec<proto::WebhookEvent>,
    /// Agents that start to report: room and sid.
    pub(super) reporters: Vec<(String, String)>,
    pub(super) changed: bool,
    due: BinaryHeap<Reverse<Due>>,
    numbers: u64,
    started: Instant,
    started_wall: Duration,
}

impl World {
    /// An empty server that starts now.
    pub(super) fn new(timings: Timings) -> Self {
        Self {
            timings,
            rooms: HashMap::new(),
            workers: BTreeMap::new(),
            names_asked_at: None,
            cancelled_jobs: HashSet::new(),
            created: HashMap::new(),
            overlaps: HashMap::new(),
            calls: Vec::new(),
            log: Vec::new(),
            outbox: Vec::new(),
            reporters: Vec::new(),
            changed: false,
            due: BinaryHeap::new(),
            numbers: 0,
            started: Instant::now(),
            started_wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// Lets everything happen that is due by `now`, in order.
    pub(super) fn advance(&mut self, now: Instant) {
        while self.due.peek().is_some_and(|Reverse(due)| due.at <= now) {
            if let Some(Reverse(due)) = self.due.pop() {
                self.changed = true;
                self.happen(due.at, due.event);
            }
        }
    }

    fn happen(&mut self, at: Instant, event: Event) {
        match event {
            Event::Launch { room_sid, dispatch, worker, listed_at } => {
                self.launch(at, &room_sid, &dispatch, worker, listed_at);
            }
            Event::List { room_sid, job } => self.list_job(at, &room_sid, *job),
            Event::Join(joining) => self.join_agent(at, *joining),
            Event::Activate { room, sid } => self.activate(at, &room, &sid),
            Event::Listen { room, sid } => self.listen(&room, &sid),
            Event::Leave { room, sid } => {
                self.leave(at, &room, &sid);
            }
            Event::Die { room, sid } => self.die(at, &room, &sid),
            Event::Remove { room, sid, reason } => {
                self.remove(at, &room, &sid, reason);
            }
            Event::CheckRoom { room, room_sid } => self.check_room(at, &room, &room_sid),
        }
    }

    /// Lets `event` happen at `at`.
    pub(super) fn schedule(&mut self, at: Instant, event: Event) {
        self.numbers += 1;
        self.due.push(Reverse(Due { at, number: self.numbers, event }));
    }

    /// When the next thing happens by itself.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse(due)| due.at)
    }

    /// The time of day at `at`, since 1970.
    pub(super) fn wall(&self, at: Instant) -> Duration {
        self.started_wall + at.saturating_duration_since(self.started)
    }

    /// The same in nanoseconds, as the server stamps dispatches and jobs.
    pub(super) fn nanos(&self, at: Instant) -> i64 {
        i64::try_from(self.wall(at).as_nanos()).unwrap_or(i64::MAX)
    }

    /// Whole room seconds up to `at`.
    pub(super) fn room_seconds(&self, at: Instant) -> u128 {
        self.wall(at).as_nanos() / self.timings.room_second.as_nanos().max(1)
    }

    /// The first look at rooms after `room_seconds` whole room seconds have passed since `from`.
    pub(super) fn look_after(&self, from: Instant, room_seconds: u32) -> Option<Instant> {
        let second = self.timings.room_second;
        let wanted = self.room_seconds(from) + u128::from(room_seconds);
        let earliest_wall = wanted.checked_mul(second.as_nanos())?;
        let since_start = earliest_wall.saturating_sub(self.started_wall.as_nanos());
        let looks = since_start.div_ceil(second.as_nanos().max(1)).max(1);
        self.started.checked_add(second.checked_mul(u32::try_from(looks).ok()?)?)
    }

    /// Notes a webhook to be sent about a room.
    pub(super) fn post(
        &mut self,
        at: Instant,
        event: &str,
        room: proto::Room,
        participant: Option<proto::ParticipantInfo>,
    ) {
        self.outbox.push(proto::WebhookEvent {
            event: event.to_owned(),
            room: Some(room),
            participant,
            id: new_id("EV"),
            created_at: i64::try_from(self.wall(at).as_secs()).unwrap_or(i64::MAX),
            ..Default::default()
        });
    }
}

/// A random id as the server makes them: a prefix and twelve characters.
pub(super) fn new_id(prefix: &str) -> String {
    const LETTERS: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bits: u128 = rand::random();
    let mut id = format!("{prefix}_");
    for _ in 0..12 {
        let index = usize::try_from(bits % LETTERS.len() as u128).unwrap_or_default();
        id.push(char::from(LETTERS[index]));
        bits /= LETTERS.len() as u128;
    }
    id
}
