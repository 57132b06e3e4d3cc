//! What holds of the pool and its workers: one reset between two sessions, silence only where there was silence, grace
//! after a break, sets that follow from what there is, and its size in the end.

use std::collections::HashMap;
use std::time::Duration;

use super::told::{CLOCKS, Known};
use super::{Record, Violation};
use crate::harness::history::{Event, Line};
use crate::harness::pool::{BELIEVED, POOL};

/// How much later than Redis was back that was noted, at most.
const NOTED: Duration = Duration::from_secs(1);
/// How long it may take from when a break began until the leader's looks missed it.
const LOOKS: Duration = Duration::from_millis(300);

pub(super) fn violations(record: &Record) -> Vec<Violation> {
    let (uses, events) = (record.history.uses.all().clone(), record.history.events.all().clone());
    let known = Known::of(record, &uses, &events);
    let mut found: Vec<Violation> = sets_follow(record).into_iter().collect();
    found.extend(silent_ones_were_silent(&known, &events));
    found.extend(grace_is_kept(record, &events));
    found.extend(reset_between_sessions(&known, &events));
    found.extend(served_to_the_end(&known));
    if !record.unrest.is_empty() {
        let promise = "once all is well and nobody calls, the pool is back to its size";
        found.push(violation(promise, record.mended, record.emptied, record.unrest.join("; ")));
    }
    found
}

fn violation(promise: &'static str, from: Duration, to: Duration, what: String) -> Violation {
    Violation { promise, room: POOL.to_owned(), from, to, what }
}

fn of_workers(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| event.is_of_pool() && event.field("kind") == "worker")
}

/// Invariant 7, at every look; the first that shows otherwise is told.
fn sets_follow(record: &Record) -> Option<Violation> {
    let pools = record.history.pools.all();
    let wrong = pools.iter().find_map(|(at, state)| Some((*at, state.check_adopted().err()?)));
    wrong.map(|(at, why)| violation("the pool's sets follow from its workers and leases", at, at, why.to_string()))
}

/// Invariant 15: a runner is lost only where it was not heard for as long as it is believed.
fn silent_ones_were_silent(known: &Known<'_>, events: &[Event]) -> Vec<Violation> {
    let pools = known.record.history.pools.all();
    let lost = of_workers(events).filter(|event| event.field("reason") == "runner_lost");
    let was_heard = lost.filter_map(|event| {
        let (at, state) = pools.iter().rfind(|(at, _)| *at < event.at)?;
        let until = state.heard_until(state.workers.get(event.field("id"))?)?;
        let is_early = known.record.history.of_wall(until) > event.at + CLOCKS;
        (is_early && !known.is_undone(*at, event.at)).then(|| {
            let what = format!("believed until {until}: {:?}", event.fields);
            violation("a runner is lost only where it was silent for its time", *at, event.at, what)
        })
    });
    was_heard.collect()
}

/// Invariant 15: after Redis was away for so long that nobody may have been heard, all get a full period.
fn grace_is_kept(record: &Record, events: &[Event]) -> Vec<Violation> {
    let windows = record.history.windows.all();
    let away = windows.iter().filter(|window| window.trouble.is_redis_away());
    let long = away.filter(|window| window.to.saturating_sub(window.since) > BELIEVED / 2 + LOOKS);
    let mut found = Vec::new();
    for window in long {
        let grace = window.to..window.to + BELIEVED.saturating_sub(NOTED);
        let ended = events.iter().filter(|event| event.is_of_pool() && grace.contains(&event.at));
        for event in ended.filter(|event| ["lapsed", "runner_lost"].contains(&event.field("reason"))) {
            let promise = "after a break leases and runners get a full period of grace";
            found.push(violation(promise, window.to, event.at, format!("{:?}", event.fields)));
        }
    }
    found
}

/// Invariant 2: a worker is ready for the next session only after it was reset, as it wrote down itself.
fn reset_between_sessions(known: &Known<'_>, events: &[Event]) -> Vec<Violation> {
    let promise = "between two sessions a worker is reset";
    let lines = || known.record.lines.iter();
    let over = lines().filter(|line| line.what == "assign" && line.whole["over"].is_string());
    let mut found: Vec<_> = over.map(|line| violation(promise, line.at, line.at, line.whole.to_string())).collect();
    let mut busy = HashMap::<&str, &Event>::new();
    for event in of_workers(events) {
        let id = event.field("id");
        match event.field("state") {
            "busy" => drop(busy.insert(id, event)),
            "ready" => {
                let Some(given) = busy.remove(id) else { continue };
                let is_its = |other: &&Event| other.field("worker") == id && other.at == given.at;
                let lease = events.iter().find(is_its).map_or("", |event| event.field("id"));
                let has = |what: &str| {
                    let mut own = lines().filter(|line| line.worker == id && line.lease == lease && line.what == what);
                    own.any(|line| line.at <= event.at + CLOCKS)
                };
                // What a runner had not handed over when it was taken back, there is nothing to forget of.
                if has("assign") && !has("reset") && !known.is_forgotten(given.at, event.at) {
                    found.push(violation(promise, given.at, event.at, format!("{lease}: {:?}", event.fields)));
                }
            }
            _ => {}
        }
    }
    found
}

/// Invariants 15 and 17: no worker is told to forget or to end while somebody has it for sure, whatever Redis forgot.
fn served_to_the_end(known: &Known<'_>) -> Vec<Violation> {
    let ended = |line: &&Line| ["reset", "drain"].contains(&line.what.as_str()) && !line.lease.is_empty();
    let mut found = Vec::new();
    for line in known.record.lines.iter().filter(ended) {
        let (from, to) = (line.at.saturating_sub(CLOCKS), line.at + CLOCKS);
        for lease in known.leases.values().filter(|lease| lease.id == line.lease && lease.worker == line.worker) {
            let Some(held) = lease.held(from, to) else { continue };
            let is_excused = known.end(lease, held.invoked, to).is_some()
                || known.is_harmed(lease, to)
                || known.is_undone(held.invoked, to);
            if !is_excused {
                let promise = "no session loses its worker while it has it";
                found.push(violation(promise, held.invoked, line.at, line.whole.to_string()));
            }
        }
    }
    found
}
