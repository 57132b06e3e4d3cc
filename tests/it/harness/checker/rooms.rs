//! What holds in the rooms: one agent, not none, not two; and nothing is left.

use std::time::Duration;

use super::timeline::{MadeDispatch, Timeline};
use super::{Record, Violation};
use crate::harness::BOUND;
use crate::harness::history::{Event, Verb};
use crate::harness::load::STAYS;
use crate::harness::rig::AGENTS;
use crate::harness::schedule::{Failing, Trouble};

/// The longest that two agents may work in a room at once where no trouble keeps the house from ending it.
const OVERLAP: Duration = Duration::from_secs(5);
/// After this time without a trouble, what happens is not its consequence.
const CALM: Duration = Duration::from_secs(6);
/// How old the look may be that an end rests on: less than the pause between two looks at an empty room; with
/// troubles the longest that calls take.
const LOOK: Duration = Duration::from_millis(700);
const LOOK_IN_TROUBLE: Duration = Duration::from_secs(10);
/// An event's time is a whole millisecond of another clock.
const CLOCKS: Duration = Duration::from_millis(3);

pub(super) fn violations(record: &Record, timeline: &Timeline) -> Vec<Violation> {
    let mut found = served_again(record, timeline);
    found.extend(two_at_work(record, timeline));
    found.extend(ended_with_people(record, timeline));
    found.extend(replaced_without_need(record, timeline));
    if !record.unwell.is_empty() {
        found.push(Violation {
            promise: "once all is well, every lock is to be had, and every breaker closes",
            room: String::new(),
            from: record.mended,
            to: record.emptied,
            what: record.unwell.join("; "),
        });
    }
    if !record.left.is_empty() {
        found.push(Violation {
            promise: "once everybody has left, nothing stays at the provider or in Redis",
            room: String::new(),
            from: record.emptied,
            to: record.cleaned,
            what: record.left.join("; "),
        });
    }
    found
}

/// Invariants 1, 8, 11, 17: once all is mended, people have their agent again, and keep it.
fn served_again(record: &Record, timeline: &Timeline) -> Vec<Violation> {
    let promise = "people are served soon after the last trouble was mended, and from then on";
    let violation = |room: &str, from, to, what| Violation { promise, room: room.to_owned(), from, to, what };
    let well = match &record.well {
        Err(unserved) => {
            let what = format!("not within {BOUND:?}: {}", unserved.join("\n"));
            return vec![violation("", record.mended, record.emptied, what)];
        }
        Ok(well) => *well,
    };
    let of_room = |one: &&super::timeline::Worked| one.life.room == STAYS && one.agent == AGENTS[0];
    let works_on =
        timeline.agents.iter().filter(of_room).any(|one| one.life.from <= well && one.life.to >= record.emptied);
    if works_on {
        Vec::new()
    } else {
        vec![violation(STAYS, well, record.emptied, "its agent was replaced".to_owned())]
    }
}

/// Invariant 1: never two at work, save for a bounded time where a trouble allows it.
fn two_at_work(record: &Record, timeline: &Timeline) -> Vec<Violation> {
    let history = &record.history;
    let mut found = Vec::new();
    for overlap in timeline.overlaps() {
        let allowed = history.was_there(overlap.from.saturating_sub(CALM), overlap.to, Trouble::allows_overlap);
        let allowed = allowed || timeline.somebody_came_late(&overlap);
        // While a trouble is there, ending it may fail: the time after the last one counts.
        let windows = history.windows.all();
        let in_between = windows.iter().filter(|window| window.from < overlap.to && window.to > overlap.from);
        let from = in_between.map(|window| window.to).max().unwrap_or(overlap.from).max(overlap.from);
        let lasted = overlap.to.saturating_sub(from);
        if !allowed || lasted > OVERLAP {
            found.push(Violation {
                promise: "a room has not two agents at work, but for a moment after a trouble that allows it",
                room: overlap.room.clone(),
                from: overlap.from,
                to: overlap.to,
                what: format!("two for {:?}, {lasted:?} of it without a trouble", overlap.to - overlap.from),
            });
        }
    }
    found
}

/// Invariant 4: what ends by its time to live ends after a fresh look showed nobody.
fn ended_with_people(record: &Record, timeline: &Timeline) -> Vec<Violation> {
    let history = &record.history;
    let mut found = Vec::new();
    for event in history.events.all().iter() {
        let by_itself = ["ttl", "room_closed"].contains(&event.field("reason")) && event.field("state") == "ending";
        if !by_itself {
            continue;
        }
        let slows = |trouble| {
            matches!(
                trouble,
                Trouble::Provider(_, Failing::Slow(_) | Failing::SlowReply(_))
                    | Trouble::ReplicaStopped(_)
                    | Trouble::LeaderStopped
                    | Trouble::LeaderKilledAtWork
                    | Trouble::ReplicaHanging(_)
                    | Trouble::RedisStopped
                    | Trouble::RedisKilled(_)
                    | Trouble::RedisSlow(_)
            )
        };
        let in_trouble = history.was_there(event.at.saturating_sub(LOOK_IN_TROUBLE), event.at, slows);
        let room = event.field("room");
        let from = event.at.saturating_sub(if in_trouble { LOOK_IN_TROUBLE } else { LOOK });
        let look = record.looks.iter().find(|(at, of)| of == room && *at >= from && *at <= event.at + CLOCKS);
        let what = match look {
            None => "nobody looked",
            Some((at, _)) if timeline.somebody_was_there(room, *at, event.at) => "somebody was there",
            Some(_) => continue,
        };
        found.push(Violation {
            promise: "a dispatch ends by its time to live only after a fresh look showed nobody",
            room: room.to_owned(),
            from,
            to: event.at,
            what: format!("{what}: {:?}", event.fields),
        });
    }
    found
}

/// Whoever is there keeps an agent that works, unless its end was asked for or a trouble had to do with it.
fn replaced_without_need(record: &Record, timeline: &Timeline) -> Vec<Violation> {
    let deleted = timeline.dispatches.iter().filter(|dispatch| dispatch.deleted);
    let needless = deleted.filter(|dispatch| is_needless(record, timeline, dispatch));
    let violation = |dispatch: &MadeDispatch| Violation {
        promise: "an agent that works with people is deleted only where that was asked for, or it seemed dead",
        room: dispatch.life.room.clone(),
        from: dispatch.life.to,
        to: dispatch.life.to,
        what: format!("{} was deleted", dispatch.provider_id),
    };
    needless.map(violation).collect()
}

/// When it was decided that the provider's dispatch has to go: its deletion may come much later, while the provider
/// fails, or is not asked because of that.
fn given_up(record: &Record, dispatch: &MadeDispatch) -> Option<Duration> {
    let events = record.history.events.all();
    let own = |event: &&Event| event.field("room") == dispatch.life.room && event.field("agent") == dispatch.agent;
    let own: Vec<&Event> = events.iter().filter(own).collect();
    let last = own.iter().rposition(|event| event.field("provider_id") == dispatch.provider_id)?;
    own.get(last + 1).map(|event| event.at)
}

fn is_needless(record: &Record, timeline: &Timeline, dispatch: &MadeDispatch) -> bool {
    let room = &dispatch.life.room;
    let at = given_up(record, dispatch).map_or(dispatch.life.to, |decided| decided.min(dispatch.life.to));
    let from = at.saturating_sub(CALM);
    let worked = timeline.agents.iter().any(|one| {
        one.provider_id == dispatch.provider_id
            && one.life.from <= from
            && one.life.to + Duration::from_millis(50) >= at
    });
    let asked_for = record.history.calls.all().iter().any(|call| {
        matches!(call.verb, Verb::End | Verb::EndRoom)
            && call.room == *room
            && call.invoked <= at
            && call.returned >= from
    });
    from > Duration::ZERO
        && worked
        && !asked_for
        && timeline.somebody_was_there(room, from, at)
        && !record.history.was_there(from, at, |trouble| !trouble.is_of_pool())
}
