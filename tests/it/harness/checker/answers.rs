//! What holds of answers: 2xx is true, 4xx changed nothing, nothing is invented while Redis is away.

use std::collections::HashMap;
use std::time::Duration;

use super::timeline::Timeline;
use super::{Record, Violation};
use crate::harness::history::{Act, Call, Outcome, Use, Verb};
use crate::harness::schedule::Trouble;

/// After Redis is back, each replica that runs serves within a second; the rest is the machine's.
const SERVES: Duration = Duration::from_secs(4);

pub(super) fn violations(record: &Record, timeline: &Timeline) -> Vec<Violation> {
    let calls = record.history.calls.all();
    let mut found: Vec<Violation> = calls.iter().filter_map(|call| untrue(record, timeline, call)).collect();
    found.extend(refusals_left_no_trace(record, timeline, &calls));
    found.extend(served_after_a_break(record));
    found.extend(record.history.uses.all().iter().filter_map(|used| untrue_use(record, used)));
    if !record.lost_something() {
        found.extend(one_answer_a_key(&calls));
        found.extend(ids_do_not_come_back(&calls));
    }
    found
}

fn violation(promise: &'static str, call: &Call, what: String) -> Violation {
    Violation { promise, room: call.room.clone(), from: call.invoked, to: call.returned, what }
}

/// Invariants 12 and 13, for one answer.
fn untrue(record: &Record, timeline: &Timeline, call: &Call) -> Option<Violation> {
    if let Outcome::Fail { status, code } = &call.outcome {
        let expected = match call.verb {
            Verb::Nonsense => [401, 422, 503].contains(status),
            Verb::Acquire => [409, 502, 503].contains(status),
            Verb::List => *status == 503,
            _ => [404, 409, 502, 503].contains(status),
        };
        let what = format!("{:?}: {status} {code}", call.verb);
        return (!expected).then(|| violation("only what is expected is refused", call, what));
    }
    let (status, body) = call.ok()?;
    if call.verb == Verb::Nonsense {
        return Some(violation("nonsense is refused", call, format!("{status} {body}")));
    }
    if let Some(window) = record.without_redis(call.replica, call.invoked, call.returned) {
        let what = format!("{status} within {window:?}");
        return Some(violation("nothing is answered without Redis", call, what));
    }
    if call.verb != Verb::Acquire {
        return None;
    }
    // An answer that is repeated for its key tells what was.
    let provider_id = body["provider_id"].as_str()?;
    let made = timeline.dispatches.iter().find(|made| made.provider_id == provider_id);
    let promise = "a 2xx tells of a dispatch that there was at the provider, under its own id";
    match made {
        None => Some(violation(promise, call, format!("{provider_id} never was"))),
        Some(made) if made.life.from > call.returned || made.life.room != call.room || made.agent != call.agent => {
            Some(violation(promise, call, format!("{provider_id} is another's: {made:?}")))
        }
        Some(made) if body["id"].as_str() != Some(&made.id) => {
            Some(violation(promise, call, format!("{} is answered as {}", made.id, body["id"])))
        }
        Some(_) => None,
    }
}

/// The same of locks, breakers and pools, as far as one answer tells.
fn untrue_use(record: &Record, used: &Use) -> Option<Violation> {
    if used.act == Act::Say {
        return None;
    }
    if let Outcome::Fail { status, .. } = used.outcome {
        let expected = match used.act {
            Act::Permit => status == 503,
            // Redis may have forgotten the breaker.
            Act::Report => status == 503 || status == 404 && record.lost_something(),
            // A pool that Redis forgot is there again with the next call of a runner.
            Act::Lease => [429, 503].contains(&status) || status == 404 && record.lost_something(),
            _ => [409, 503].contains(&status),
        };
        return (!expected).then(|| used.breaks("only what is expected is refused", String::new()));
    }
    used.answer()?;
    let window = record.without_redis(used.replica, used.invoked, used.returned)?;
    Some(used.breaks("nothing is answered without Redis", format!("within {window:?}")))
}

/// Invariant 13: a 4xx changed nothing.
fn refusals_left_no_trace(record: &Record, timeline: &Timeline, calls: &[Call]) -> Vec<Violation> {
    let samples = record.history.samples.all();
    let refused = calls.iter().filter(|call| call.verb == Verb::Nonsense);
    let traced = refused.filter(|call| {
        let end = format!(":{}:", call.room);
        timeline.dispatches.iter().any(|made| made.life.room == call.room)
            || samples.iter().any(|sample| sample.key.contains(&end))
    });
    traced.map(|call| violation("what is refused changes nothing", call, "it left a trace".to_owned())).collect()
}

/// Invariant 13: a request that is repeated with its key is done once.
fn one_answer_a_key(calls: &[Call]) -> Vec<Violation> {
    let mut told: HashMap<(&str, &str), &Call> = HashMap::new();
    let mut found = Vec::new();
    for call in calls {
        let Some(key) = &call.key else { continue };
        let Some((200 | 201, _)) = call.ok() else { continue };
        let first = *told.entry((&call.room, key)).or_insert(call);
        if first.id_told() != call.id_told() {
            let what = format!("{:?} and {:?} for {key}", first.id_told(), call.id_told());
            found.push(violation("a key has one answer", call, what));
        }
    }
    found
}

/// Invariants 1 and 4: who asked after an answer told of another id, or of an end, is not given the old id.
fn ids_do_not_come_back(calls: &[Call]) -> Vec<Violation> {
    let mut found = Vec::new();
    let fresh = |call: &&Call| call.verb == Verb::Acquire && call.key.is_none() && call.id_told().is_some();
    for call in calls.iter().filter(fresh) {
        let before = |other: &&Call| other.room == call.room && other.returned < call.invoked;
        let ended = calls
            .iter()
            .filter(before)
            .find(|other| other.verb == Verb::End && other.ok().is_some() && call.id_told() == Some(other.id.as_str()));
        if let Some(ended) = ended {
            let what = format!("{} ended before {:?}", ended.id, call.invoked);
            found.push(violation("what was ended is given to nobody", call, what));
        }
        let same_place = |other: &&Call| fresh(other) && other.agent == call.agent && before(other);
        let others: Vec<&Call> = calls.iter().filter(same_place).collect();
        let overtaken = others.iter().filter(|other| other.id_told() != call.id_told()).find(|other| {
            others.iter().any(|first| first.id_told() == call.id_told() && first.returned < other.invoked)
        });
        if let Some(other) = overtaken {
            let what = format!("{:?} came back after {:?}", call.id_told(), other.id_told());
            found.push(violation("an id that was replaced does not come back", call, what));
        }
    }
    found
}

/// Success soon after Redis is back.
fn served_after_a_break(record: &Record) -> Vec<Violation> {
    let history = &record.history;
    let mut found = Vec::new();
    for recovery in history.recoveries.all().iter() {
        let busy = history.was_there(recovery.at, recovery.at + recovery.took, |trouble| {
            matches!(
                trouble,
                Trouble::ReplicaKilled(_)
                    | Trouble::ReplicaStopped(_)
                    | Trouble::LeaderStopped
                    | Trouble::LeaderKilledAtWork
                    | Trouble::ReplicaCutOff(_)
                    | Trouble::ReplicaHanging(_)
                    | Trouble::RedisSlow(_)
            ) || (trouble.is_redis_away() && recovery.took > SERVES)
        });
        if !busy && recovery.took > SERVES {
            found.push(Violation {
                promise: "each replica serves soon after Redis is back",
                room: String::new(),
                from: recovery.at,
                to: recovery.at + recovery.took,
                what: format!("replica {} took {:?}", recovery.replica, recovery.took),
            });
        }
    }
    found
}
