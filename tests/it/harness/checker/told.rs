//! What the holders of leases were told, and so know for sure: from when to when they have their worker.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::Record;
use crate::harness::history::{Act, Event, Outcome, Use};
use crate::harness::schedule::{Loss, Trouble};
use crate::support::pool_state::text;

/// A time of Redis or of a worker is a whole millisecond of another clock.
pub(super) const CLOCKS: Duration = Duration::from_millis(3);
/// How long it may take from when a harm was noted until it was done.
const HARM: Duration = Duration::from_secs(1);
/// How late what stands in Redis may be seen.
const LATE: Duration = Duration::from_secs(1);

/// A lease under a token, as it was told.
pub(super) struct Told<'a> {
    record: &'a Record,
    pub(super) id: &'a str,
    pub(super) token: u64,
    pub(super) worker: &'a str,
    pub(super) is_keyed: bool,
    /// Grants and renewals that were told, or whose outcome nobody knows.
    uses: Vec<&'a Use>,
    /// What may have ended it.
    pub(super) releases: Vec<&'a Use>,
}

/// All of it, and what else is known of leases and their workers.
pub(super) struct Known<'a> {
    pub(super) record: &'a Record,
    pub(super) leases: BTreeMap<(&'a str, u64), Told<'a>>,
    /// The ends of leases, by their ids; of a keyed one also when it became idle.
    pub(super) ends: HashMap<&'a str, Vec<&'a Event>>,
    /// Whose a worker is.
    runners: HashMap<&'a str, &'a str>,
}

/// Whether it may have been carried out after it returned.
fn may_come_late(used: &Use) -> bool {
    matches!(used.outcome, Outcome::Unknown | Outcome::Fail { status: 500.., .. })
}

/// Until when it gives the lease at least: as it was told; else as it was asked for, and taken no sooner.
fn until(record: &Record, used: &Use) -> Duration {
    let told = used.answer().and_then(|body| body["expires_at"].as_str());
    let told = told.and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
    let told = told.and_then(|time| u64::try_from(time.timestamp_millis()).ok());
    let asked = used.invoked + Duration::from_secs(used.body["ttl_seconds"].as_u64().unwrap_or_default());
    told.map_or(asked, |ms| record.history.of_wall(ms))
}

impl<'a> Told<'a> {
    /// Grants and renewals that were told.
    pub(super) fn told(&self) -> impl Iterator<Item = &'a Use> {
        self.uses.iter().copied().filter(|used| used.answer().is_some())
    }

    /// What it was held by, for sure, all the time from `from` to `to`: what was told last before, unless it may have
    /// been given back or have lapsed since.
    pub(super) fn held(&self, from: Duration, to: Duration) -> Option<&'a Use> {
        let last = self.told().filter(|used| used.returned <= from).max_by_key(|used| used.invoked)?;
        let since = |used: &&&Use| used.invoked <= to && (may_come_late(used) || used.returned >= last.invoked);
        let lapsed = self.uses.iter().filter(since).any(|used| until(self.record, used) <= to);
        let released = self.releases.iter().filter(since).count() > 0;
        (!lapsed && !released).then_some(last)
    }
}

impl<'a> Known<'a> {
    pub(super) fn of(record: &'a Record, uses: &'a [Use], events: &'a [Event]) -> Self {
        let mut leases: BTreeMap<(&str, u64), Told<'a>> = BTreeMap::new();
        for used in uses.iter().filter(|used| used.act == Act::Lease) {
            let Some(body) = used.answer() else { continue };
            let (Some(id), Some(token)) = (body["id"].as_str(), body["token"].as_u64()) else { continue };
            let (worker, is_keyed) = (body["worker"].as_str().unwrap_or_default(), body["key"].is_string());
            let (uses, releases) = (Vec::new(), Vec::new());
            let new = Told { record, id, token, worker, is_keyed, uses, releases };
            leases.entry((id, token)).or_insert(new).uses.push(used);
        }
        for used in uses.iter().filter(|used| used.answer().is_some() || may_come_late(used)) {
            let key =
                (used.body["lease"].as_str().unwrap_or_default(), used.body["token"].as_u64().unwrap_or_default());
            let Some(lease) = leases.get_mut(&key) else { continue };
            match used.act {
                Act::RenewLease => lease.uses.push(used),
                Act::ReleaseLease => lease.releases.push(used),
                _ => {}
            }
        }
        let mut ends: HashMap<&str, Vec<&Event>> = HashMap::new();
        let is_end =
            |event: &&Event| event.field("kind") == "lease" && ["ended", "idle"].contains(&event.field("state"));
        for event in events.iter().filter(is_end) {
            ends.entry(event.field("id")).or_default().push(event);
        }
        let runners = record.lines.iter().map(|line| (line.worker.as_str(), line.runner.as_str())).collect();
        Self { record, leases, ends, runners }
    }

    /// An end of the lease that is known, in that time.
    pub(super) fn end(&self, lease: &Told<'_>, from: Duration, to: Duration) -> Option<&'a Event> {
        let ends = self.ends.get(lease.id)?.iter();
        ends.copied().find(|event| event.at + CLOCKS >= from && event.at <= to + CLOCKS)
    }

    /// Whether its worker or runner was killed or made to hang since the lease was given.
    pub(super) fn is_harmed(&self, lease: &Told<'_>, to: Duration) -> bool {
        let from = self.record.history.of_wall(lease.token).saturating_sub(HARM);
        let runner = self.runners.get(lease.worker).copied();
        let harmed = self.record.history.harmed.all();
        harmed
            .iter()
            .any(|(at, whom)| (from..=to).contains(at) && (whom == lease.worker || Some(whom.as_str()) == runner))
    }

    /// Whether its runner told before that it does not answer: it was made to hang, or the machine is too busy for it.
    pub(super) fn is_unwell(&self, lease: &Told<'_>, at: Duration) -> bool {
        let pools = self.record.history.pools.all();
        let mut before =
            pools.iter().rev().skip_while(|(seen, _)| *seen > at + LATE).take_while(|(seen, _)| *seen + LATE >= at);
        before.any(|(_, state)| {
            state.workers.get(lease.worker).is_some_and(|worker| text(worker, "health") == "unhealthy")
        })
    }

    /// Whether Redis came back in that time without its last moments, and so undid what was told.
    pub(super) fn is_undone(&self, from: Duration, to: Duration) -> bool {
        self.record.history.was_there(from, to, |trouble| trouble == Trouble::RedisKilled(Loss::LastMoment))
    }

    /// The same, or empty.
    pub(super) fn is_forgotten(&self, from: Duration, to: Duration) -> bool {
        self.record.history.was_there(from, to, Trouble::loses)
    }
}
