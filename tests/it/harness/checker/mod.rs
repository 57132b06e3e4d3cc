//! Whether what was seen keeps the invariants of `docs/ARCHITECTURE.md`.

use std::collections::HashSet;
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::history::{Act, Call, History, Line, Outcome, Use, Verb, Window};
use super::pool::POOL;
use super::schedule::{Schedule, Trouble};
use crate::standin::Happening;
use timeline::Timeline;

mod answers;
mod breakers;
mod leases;
mod locks;
mod pool;
mod rooms;
mod store;
mod timeline;
mod told;

/// Everything that is known of a run.
pub(crate) struct Record {
    pub(crate) schedule: Schedule,
    pub(crate) history: Arc<History>,
    /// The provider's own log.
    pub(crate) log: Vec<Happening>,
    /// When the provider was asked who is in which room.
    pub(crate) looks: Vec<(Duration, String)>,
    /// What the pool's workers wrote down.
    pub(crate) lines: Vec<Line>,
    /// When everything was mended.
    pub(crate) mended: Duration,
    /// When everybody was served again, or who was not.
    pub(crate) well: Result<Duration, Vec<String>>,
    /// Which locks and breakers were of no use although all was well.
    pub(crate) unwell: Vec<String>,
    /// Why the pool did not come back to its size.
    pub(crate) unrest: Vec<String>,
    /// When everybody left.
    pub(crate) emptied: Duration,
    /// When nothing was left, or was waited for no longer.
    pub(crate) cleaned: Duration,
    pub(crate) left: Vec<String>,
    pub(crate) tombstones: HashSet<String>,
}

/// How old at most what a Redis without its last moments shows.
const OLDER_COPY: Duration = Duration::from_secs(3);

/// A promise that was broken.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) promise: &'static str,
    pub(crate) room: String,
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { promise, room, from, to, what } = self;
        write!(f, "BROKEN: {promise} [{room}, {} to {} ms]: {what}", from.as_millis(), to.as_millis())
    }
}

impl Record {
    /// Whether Redis may have come back as an older copy of itself.
    pub(crate) fn lost_something(&self) -> bool {
        self.schedule.troubles().any(Trouble::loses)
    }

    /// Whether Redis may have lost something of what it took between the two.
    fn may_have_lost(&self, from: Duration, to: Duration) -> bool {
        self.history.was_there(from, to + OLDER_COPY, Trouble::loses)
    }

    /// While what, all that time, the replica could not reach Redis, where that is so.
    fn without_redis(&self, replica: usize, from: Duration, to: Duration) -> Option<Window> {
        let margin = Duration::from_millis(100);
        let windows = self.history.windows.all();
        let without = windows.iter().find(|window| {
            let concerns = match window.trouble {
                Trouble::ReplicaCutOff(cut_off) => cut_off == replica,
                trouble => trouble == Trouble::RedisStopped,
            };
            concerns && from > window.since + margin && to + margin < window.to
        });
        without.copied()
    }

    fn at(&self, happening: &Happening) -> Duration {
        happening.at.into_std().saturating_duration_since(self.history.began)
    }
}

impl Use {
    fn breaks(&self, promise: &'static str, mut what: String) -> Violation {
        let _ = write!(what, ": {:?} {} → {:?}", self.act, self.body, self.outcome);
        Violation { promise, room: self.name.to_owned(), from: self.invoked, to: self.returned, what }
    }
}

/// All promises that were broken.
pub(crate) fn check(record: &Record) -> Vec<Violation> {
    let timeline = Timeline::of(record);
    let mut violations = rooms::violations(record, &timeline);
    violations.extend(store::violations(record, &timeline));
    violations.extend(answers::violations(record, &timeline));
    violations.extend(locks::violations(record));
    violations.extend(breakers::violations(record));
    violations.extend(leases::violations(record));
    violations.extend(pool::violations(record));
    violations
}

/// What is worth knowing of a run, on a line.
pub(crate) fn figures(record: &Record) -> String {
    let calls = record.history.calls.all();
    let count = |kind: fn(&Outcome) -> bool| calls.iter().filter(|call| kind(&call.outcome)).count();
    let ok = count(|outcome| matches!(outcome, Outcome::Ok { .. }));
    let unknown = count(|outcome| matches!(outcome, Outcome::Unknown));
    let failed = calls.len() - ok - unknown;
    let changes =
        |call: &&Call| !matches!(call.verb, Verb::List | Verb::Get | Verb::Nonsense) && call.returned < record.mended;
    let changing =
        calls.iter().filter(changes).count() * 1000 / usize::try_from(record.mended.as_millis()).unwrap_or(1).max(1);
    let well = record.well.as_ref().map_or("never".to_owned(), |at| format!("{:?}", at.saturating_sub(record.mended)));
    let recoveries: Vec<_> = record.history.recoveries.all().iter().map(|one| one.took.as_millis()).collect();
    let overlaps: Vec<_> = Timeline::of(record).overlaps().iter().map(|one| (one.to - one.from).as_millis()).collect();
    let uses = record.history.uses.all();
    let told = |act: Act| uses.iter().filter(move |used| used.act == act && used.answer().is_some()).count();
    let (leases, renewals, said) = (told(Act::Lease), told(Act::RenewLease), told(Act::Say));
    format!(
        "{} troubles; calls {ok} ok, {failed} refused, {unknown} unknown ({changing} changing a second); all served {well} after the last was mended, \
         nothing left {:?} after all left; served {recoveries:?} ms after Redis was back; overlaps {overlaps:?} ms; \
         {leases} leases, {renewals} renewals, {said} answers of workers",
        record.schedule.troubles().count(),
        record.cleaned.saturating_sub(record.emptied),
    )
}

/// What happened in a room (all, where it is empty) in that time, line by line.
pub(crate) fn story(record: &Record, room: &str, from: Duration, to: Duration) -> String {
    let mut lines: Vec<(Duration, String)> = Vec::new();
    let history = &record.history;
    for window in history.windows.all().iter() {
        lines.push((window.from, format!("TROUBLE {:?} until {} ms", window.trouble, window.to.as_millis())));
    }
    for happening in record.log.iter().filter(|happening| room.is_empty() || happening.room == room) {
        lines.push((record.at(happening), format!("LIVEKIT {} {:?}", happening.room, happening.what)));
    }
    for event in history
        .events
        .all()
        .iter()
        .filter(|event| room.is_empty() || event.field("room") == room || event.is_of_pool() && room == POOL)
    {
        let names = ["room", "agent", "kind", "state", "reason", "provider_id", "id", "worker", "session"];
        let text = names.map(|name| event.field(name)).join(" ");
        lines.push((event.at, format!("EVENT   {text}")));
    }
    for sample in history.samples.all().iter().filter(|sample| sample.key.contains(room)) {
        let mut fields: Vec<_> = sample.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        fields.sort();
        lines.push((sample.at, format!("REDIS   {} {}", sample.key, fields.join(" "))));
    }
    for call in history.calls.all().iter().filter(|call| room.is_empty() || call.room == room) {
        let outcome = match &call.outcome {
            Outcome::Ok { status, body } => format!("{status} {} {}", body["id"], body["provider_id"]),
            other => format!("{other:?}"),
        };
        let text = format!("{:?} {}:{} {} at replica {}", call.verb, call.room, call.agent, call.id, call.replica);
        lines.push((call.returned, format!("CALL    {text} since {} ms: {outcome}", call.invoked.as_millis())));
    }
    for used in history.uses.all().iter().filter(|used| room.is_empty() || used.name == room) {
        let Use { act, name, body, replica, invoked, outcome, .. } = used;
        let text = format!("{act:?} {name} {body} at replica {replica} since {} ms: {outcome:?}", invoked.as_millis());
        lines.push((used.returned, format!("USE     {text}")));
    }
    for line in record.lines.iter().filter(|_| room.is_empty() || room == POOL) {
        lines.push((line.at, format!("WORKER  {}", line.whole)));
    }
    for (at, whom) in history.harmed.all().iter() {
        lines.push((*at, format!("HARMED  {whom}")));
    }
    lines.sort_by_key(|(at, _)| *at);
    let mut text = String::new();
    for (at, line) in lines.into_iter().filter(|(at, _)| (from..=to).contains(at)) {
        let _ = writeln!(text, "{:>7} {line}", at.as_millis());
    }
    text
}
