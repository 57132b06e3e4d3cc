//! What holds in Redis: tokens grow, times are Redis's, claims have an end, the dead are marked before they are
//! deleted.

use std::collections::HashMap;
use std::time::Duration;

use super::timeline::Timeline;
use super::{OLDER_COPY, Record, Violation};
use crate::harness::history::{Event, Sample};
use crate::harness::rig::{BELIEVED, CLAIM};
use crate::harness::schedule::Trouble;

/// How much a watcher of a busy machine may be late.
const SLACK_MS: u64 = 250;

pub(super) fn violations(record: &Record, timeline: &Timeline) -> Vec<Violation> {
    let mut found = tokens_grow(record);
    found.extend(times_are_of_redis(record));
    found.extend(grace_is_kept(record));
    if !record.lost_something() {
        found.extend(terms_grow(record));
        found.extend(the_dead_are_marked(record, timeline));
    }
    found
}

fn violation(promise: &'static str, sample: &Sample, what: String) -> Violation {
    let room = sample.key.rsplit(':').nth(1).unwrap_or_default().to_owned();
    Violation { promise, room, from: sample.at, to: sample.at, what }
}

/// Invariant 5, also where Redis lost something: tokens are as large as times.
fn tokens_grow(record: &Record) -> Vec<Violation> {
    let mut highest: HashMap<(&str, &str), u64> = HashMap::new();
    let mut found = Vec::new();
    let samples = record.history.samples.all();
    for sample in samples.iter() {
        // The token of an agent that is adopted is that of its own maker, which may be older.
        for field in ["token", "committed_token"] {
            let Some(token) = sample.number(field) else { continue };
            let before = highest.entry((&sample.key, field)).or_default();
            if token < *before && !is_of_an_older_copy(record, sample, token) {
                let what = format!("{field} {token} after {before}");
                found.push(violation("the tokens of a place only grow", sample, what));
            }
            *before = token.max(*before);
        }
        if sample.number("committed_token") > sample.number("token") {
            found.push(violation("a commit has the token of a claim", sample, format!("{:?}", sample.fields)));
        }
    }
    found
}

/// Whether Redis lost what came after it gave this token: then it shows it once more, but gives none like it.
fn is_of_an_older_copy(record: &Record, sample: &Sample, token: u64) -> bool {
    let (given, windows) = (record.history.of_wall(token), record.history.windows.all());
    windows.iter().any(|window| window.trouble.loses() && window.from <= sample.at && given <= window.to)
}

/// Invariants 8 and 9: every claim ends soon, and no time is ahead of Redis's.
fn times_are_of_redis(record: &Record) -> Vec<Violation> {
    let mut found = Vec::new();
    let samples = record.history.samples.all();
    for sample in samples.iter() {
        let now = sample.redis_ms + SLACK_MS;
        let claim_ms = u64::try_from(CLAIM.as_millis()).unwrap_or(u64::MAX);
        let bounds = [
            ("created_at", now),
            ("dispatched_at", now),
            ("last_activity_at", now),
            ("seen_alive_at", now),
            ("token", now),
            ("claim_until", now + claim_ms),
            ("ttl_expires_at", now + sample.number("ttl_seconds").unwrap_or(3).max(3) * 1000),
        ];
        for (field, bound) in bounds {
            if sample.number(field).is_some_and(|value| value > bound) {
                let what = format!("{field} is ahead of {}: {:?}", sample.redis_ms, sample.fields);
                found.push(violation("times are Redis's own, and every claim has an end", sample, what));
            }
        }
        if sample.fields.contains_key("claim") && !sample.fields.contains_key("claim_until") {
            found.push(violation("every claim has an end", sample, format!("{:?}", sample.fields)));
        }
    }
    found
}

/// Invariant 15: after Redis was away for longer than half of what a report is believed, every agent gets a full
/// period.
fn grace_is_kept(record: &Record) -> Vec<Violation> {
    let mut found = Vec::new();
    let (windows, events) = (record.history.windows.all(), record.history.events.all());
    // Where the reason is an old one, the agent was found silent before; a look that failed since says nothing of it.
    let mut reasons = HashMap::new();
    let is_new = |event: &&Event| {
        if event.field("reason") == "provider_failed" {
            return false;
        }
        let place = (event.field("room").to_owned(), event.field("agent").to_owned());
        let before = reasons.insert(place, event.field("reason").to_owned());
        event.field("reason") == "agent_silent" && before.as_deref() != Some("agent_silent")
    };
    let silent: Vec<_> = events.iter().filter(is_new).collect();
    let away = windows.iter().filter(|window| window.trouble.is_redis_away());
    for window in away.filter(|window| window.to - window.from > BELIEVED / 2 + Duration::from_millis(500)) {
        let grace = window.to..window.to + BELIEVED.saturating_sub(Duration::from_millis(200));
        // An older copy may be of a moment in which the agent of the place was silent.
        let was_silent = |event: &Event| {
            let just_before = window.from.saturating_sub(OLDER_COPY)..window.from + OLDER_COPY;
            let is_same = |other: &&&Event| ["room", "agent"].iter().all(|name| other.field(name) == event.field(name));
            window.trouble.loses() && silent.iter().filter(is_same).any(|other| just_before.contains(&other.at))
        };
        for event in silent.iter().filter(|event| grace.contains(&event.at) && !was_silent(event)) {
            found.push(Violation {
                promise: "after a break every agent that reports gets a full period of grace",
                room: event.field("room").to_owned(),
                from: window.to,
                to: event.at,
                what: format!("{:?}", event.fields),
            });
        }
    }
    found
}

/// Invariants 5 and 10: terms of leaders grow.
fn terms_grow(record: &Record) -> Vec<Violation> {
    let terms = record.history.terms.all();
    let falls = terms.windows(2).filter(|pair| pair[1].1 < pair[0].1);
    let violation = |pair: &[(Duration, u64)]| Violation {
        promise: "terms of leaders only grow",
        room: String::new(),
        from: pair[0].0,
        to: pair[1].0,
        what: format!("{} after {}", pair[1].1, pair[0].1),
    };
    falls.map(violation).collect()
}

/// Invariant 14: whoever is deleted at the provider has a tombstone, for an hour.
fn the_dead_are_marked(record: &Record, timeline: &Timeline) -> Vec<Violation> {
    let full = record.schedule.troubles().any(|trouble| trouble == Trouble::RedisFull);
    let deleted = timeline.dispatches.iter().filter(|dispatch| dispatch.deleted && !full);
    let unmarked = deleted.filter(|dispatch| !record.tombstones.contains(&dispatch.provider_id));
    let violation = |dispatch: &super::timeline::MadeDispatch| Violation {
        promise: "a dispatch gets its tombstone before it is deleted at the provider",
        room: dispatch.life.room.clone(),
        from: dispatch.life.to,
        to: dispatch.life.to,
        what: format!("{} has none", dispatch.provider_id),
    };
    unmarked.map(violation).collect()
}
