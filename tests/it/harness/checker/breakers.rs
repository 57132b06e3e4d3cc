//! What holds of callers' breakers: a state is told as it is, probes are as few as may be, what is late changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Record, Violation};
use crate::harness::history::{Act, Use};
use crate::harness::users::OPEN_MS;

/// What was told of the breaker.
struct Told<'a> {
    used: &'a Use,
    generation: u64,
    state: &'a str,
}

pub(super) fn violations(record: &Record) -> Vec<Violation> {
    let uses = record.history.uses.all();
    let of_breakers = uses.iter().filter(|used| used.act.is_of_breakers());
    let told: Vec<Told<'_>> = of_breakers.filter_map(told).collect();
    let mut found = generations(record, &told);
    found.extend(probes(record, &uses, &told));
    found.extend(late_reports(record, &told));
    let is_open =
        |told: &&Told<'_>| told.used.answer().is_some_and(|body| body["allowed"] == true) && told.state == "open";
    let let_through = told.iter().filter(is_open);
    found.extend(let_through.map(|told| told.used.breaks("an open breaker lets nothing through", String::new())));
    found
}

fn told(used: &Use) -> Option<Told<'_>> {
    let body = used.answer()?;
    Some(Told { used, generation: body["generation"].as_u64()?, state: body["state"].as_str()? })
}

/// A generation is one state, and says when that began; an open one lasts.
fn generations(record: &Record, told: &[Told<'_>]) -> Vec<Violation> {
    let (mut found, mut known) = (Vec::new(), BTreeMap::new());
    for one in told {
        let first = *known.entry(one.generation).or_insert(one.state);
        if first != one.state {
            found.push(one.used.breaks("a generation is one state", format!("it was {first}")));
        }
        let before =
            told.iter().find(|other| other.used.returned < one.used.invoked && other.generation > one.generation);
        if let Some(other) = before.filter(|other| !record.may_have_lost(other.used.invoked, one.used.returned)) {
            let what = format!("{} after {}", one.generation, other.generation);
            found.push(one.used.breaks("the generations of a breaker only grow", what));
        }
    }
    // By chance a fifth less.
    let shortest = OPEN_MS * 4 / 5;
    for one in told.iter().filter(|one| one.used.act == Act::Permit) {
        let before = known.range(..one.generation).next_back();
        let Some((opened, _)) = before.filter(|(_, state)| **state == "open") else { continue };
        let (from, to) = (record.history.of_wall(*opened), one.used.returned);
        if one.generation < opened + shortest && !record.may_have_lost(from, to) {
            let what = format!("{} ms after it opened it is {}", one.generation - opened, one.state);
            found.push(one.used.breaks("a breaker stays open for its time", what));
        }
    }
    found
}

/// A permit of a probe, with the time within which it is to be reported.
fn permit<'a>(told: &Told<'a>) -> Option<(&'a str, Duration)> {
    let body = told.used.answer()?;
    Some((body["permit"].as_str()?, Duration::from_millis(body["report_within_ms"].as_u64()?)))
}

/// One at a time: the next one is let through when the one before was reported or has lapsed.
fn probes(record: &Record, uses: &[Use], told: &[Told<'_>]) -> Vec<Violation> {
    let mut found = Vec::new();
    for first in told {
        let Some((id, within)) = permit(first) else { continue };
        let reported = uses.iter().find(|used| used.act == Act::Report && used.body["permit"] == id);
        // It was there at least from when it was told until then.
        let until = reported.map_or(Duration::MAX, |used| used.invoked).min(first.used.invoked + within);
        let second = told.iter().find(|second| {
            permit(second).is_some()
                && second.generation == first.generation
                && second.used.invoked > first.used.returned
                && second.used.returned < until
        });
        if let Some(second) = second.filter(|second| !record.may_have_lost(first.used.invoked, second.used.returned)) {
            found.push(second.used.breaks("probes are as few at a time as may be", format!("{id} is under way")));
        }
    }
    found
}

/// What belongs to a generation that is over, or to a probe that has lapsed, changes nothing.
fn late_reports(record: &Record, told: &[Told<'_>]) -> Vec<Violation> {
    let counted = told.iter().filter(|one| one.used.answer().is_some_and(|body| body["counted"] == true));
    let mut found = Vec::new();
    for one in counted {
        let generation = one.used.body["generation"].as_u64();
        let newer =
            told.iter().find(|other| other.used.returned < one.used.invoked && Some(other.generation) > generation);
        if let Some(newer) = newer.filter(|newer| !record.may_have_lost(newer.used.invoked, one.used.returned)) {
            let what = format!("it is of {generation:?}, and {} was told", newer.generation);
            found.push(one.used.breaks("a report of a generation that is over counts for nothing", what));
        }
        let is_lapsed = |probe: &&Told<'_>| {
            permit(probe).is_some_and(|(id, within)| {
                one.used.body["permit"] == id && probe.used.returned + within < one.used.invoked
            })
        };
        if told.iter().any(|probe| is_lapsed(&probe)) {
            found.push(one.used.breaks("a report of a permit that lapsed counts for nothing", String::new()));
        }
    }
    found
}
