//! What holds of leases: one session of a worker at a time, tokens that grow, an end only for a reason, nothing for who
//! was overtaken; and the worker serves the session that has it, which finds nothing of another.

use std::time::Duration;

use serde_json::Value;

use super::told::{CLOCKS, Known, Told};
use super::{Record, Violation};
use crate::harness::history::{Act, Event, Outcome, Use};
use crate::harness::pool::POOL;

pub(super) fn violations(record: &Record) -> Vec<Violation> {
    let (uses, events) = (record.history.uses.all().clone(), record.history.events.all().clone());
    let known = Known::of(record, &uses, &events);
    let mut found = one_at_a_time(&known);
    for lease in known.leases.values() {
        found.extend(ends_for_a_reason(&known, &events, lease));
        found.extend(is_over_once(&known, lease));
    }
    for used in &uses {
        found.extend(refused(&known, used));
        found.extend(said(&known, used));
        if used.act == Act::RenewAsStranger && used.answer().is_some() {
            found.push(used.breaks("a token that was never given renews nothing", String::new()));
        }
    }
    found
}

fn violation(promise: &'static str, (from, to): (Duration, Duration), what: String) -> Violation {
    Violation { promise, room: POOL.to_owned(), from, to, what }
}

/// The lease that a call is about.
fn lease_of<'k, 'a>(known: &'k Known<'a>, used: &'k Use) -> Option<&'k Told<'a>> {
    known.leases.get(&(used.body["lease"].as_str()?, used.body["token"].as_u64()?))
}

/// Invariants 2 and 5. Whatever Redis forgot: it gives tokens by its time.
fn one_at_a_time(known: &Known<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let leases = || known.leases.values();
    for (a, b) in leases().flat_map(|a| leases().map(move |b| (a, b))) {
        if a.worker != b.worker || a.id == b.id {
            continue;
        }
        let (Some(first), Some(then)) = (a.told().next(), b.told().next()) else { continue };
        let seen = (first.invoked, then.returned);
        let both = || format!("{} has {} under {}, {} under {}", a.id, a.worker, a.token, b.id, b.token);
        if a.token == b.token {
            found.push(violation("a token of a worker is one lease's", seen, both()));
        } else if first.returned < then.invoked && a.token > b.token && !known.is_undone(first.invoked, then.returned) {
            found.push(violation("the tokens of a worker only grow", seen, both()));
        }
        let at_once = b.told().find(|used| {
            let at = used.returned;
            let (held, also) = (a.held(at, at), b.held(at, at));
            held.zip(also).is_some_and(|(held, _)| !known.is_undone(held.invoked, at))
        });
        if let Some(used) = at_once {
            found.push(used.breaks("a worker is leased to one session at a time", both()));
        }
    }
    found
}

/// Invariants 15 and 17: a lease ends by its holder, its time, or its worker. (Whether a silent runner was silent, and
/// whether a break was forgiven, is judged in `pool.rs`.)
fn ends_for_a_reason(known: &Known<'_>, events: &[Event], lease: &Told<'_>) -> Vec<Violation> {
    let (mut found, granted) = (Vec::new(), known.record.history.of_wall(lease.token));
    let Some(first) = lease.told().next() else { return found };
    for end in known.ends.get(lease.id).into_iter().flatten() {
        let at = end.at;
        // Until somebody was told of it, it was given up by who had asked for it; Redis may forget that.
        if at + CLOCKS < first.invoked || known.is_undone(granted, at) {
            continue;
        }
        let is_right = match end.field("reason") {
            "released" => lease.releases.iter().any(|used| used.invoked <= at + CLOCKS),
            "rebound" => known.is_unwell(lease, at),
            "worker_lost" => {
                let is_its = |event: &&Event| {
                    event.field("kind") == "worker" && event.field("id") == lease.worker && event.at == at
                };
                match events.iter().find(is_its).map(|event| event.field("reason")) {
                    Some("runner_lost") => true,
                    Some("unhealthy") => known.is_unwell(lease, at),
                    Some("recycled") => known.is_forgotten(granted, at),
                    _ => known.is_harmed(lease, at),
                }
            }
            _ => lease.held(at.saturating_sub(CLOCKS), at + CLOCKS).is_none(),
        };
        if !is_right {
            found.push(violation(
                "a lease ends by its holder, its time or its worker",
                (at, at),
                format!("{:?}", end.fields),
            ));
        }
    }
    found
}

/// Invariant 5: what was given back or has ended is nobody's any more, unless Redis forgot that.
fn is_over_once(known: &Known<'_>, lease: &Told<'_>) -> Option<Violation> {
    let released = lease.releases.iter().filter(|used| used.answer().is_some() && !lease.is_keyed);
    let released = released.map(|used| (used.invoked, used.returned));
    let ends = known.ends.get(lease.id).into_iter().flatten().filter(|end| end.field("state") == "ended");
    let ends = ends.map(|end| (end.at, end.at + CLOCKS));
    let late = released
        .chain(ends)
        .find_map(|(from, at)| lease.told().find(|used| used.invoked > at && !known.is_forgotten(from, used.returned)));
    late.map(|used| used.breaks("a lease that is over is nobody's", format!("{} under {}", lease.id, lease.token)))
}

/// Whose lease runs is not refused, unless an end of it is known, which is judged by itself.
fn refused(known: &Known<'_>, used: &Use) -> Option<Violation> {
    let (Act::RenewLease, Outcome::Fail { status: 404 | 409, .. }) = (used.act, &used.outcome) else { return None };
    let lease = lease_of(known, used)?;
    let held = lease.held(used.invoked, used.returned)?;
    let is_known = known.end(lease, held.invoked, used.returned).is_some();
    let is_broken = !is_known && !known.is_forgotten(held.invoked, used.returned);
    is_broken.then(|| used.breaks("whose lease runs keeps its worker", String::new()))
}

/// Invariant 2, as workers see it: they serve who has them, and have forgotten everybody else.
fn said(known: &Known<'_>, used: &Use) -> Option<Violation> {
    if used.act != Act::Say {
        return None;
    }
    let lease = lease_of(known, used)?;
    if let Some(body) = used.answer() {
        let is_strange = |phrase: &&Value| !phrase.as_str().is_some_and(|phrase| phrase.starts_with(lease.id));
        let strange = body["known"].as_array().into_iter().flatten().find(is_strange);
        return strange.map(|phrase| used.breaks("a session finds nothing of another", phrase.to_string()));
    }
    let held = lease.held(used.invoked, used.returned)?;
    let is_excused = known.end(lease, held.invoked, used.returned).is_some()
        || known.is_harmed(lease, used.returned)
        || known.is_undone(held.invoked, used.returned);
    (!is_excused).then(|| used.breaks("who has a worker is served by it", String::new()))
}
