//! The steps of the protocol: which can be taken, and what each does.

use super::ids::Ids;
use super::world::{Claim, Entry, Kind, Phase, Step, Then, Why, World};

/// The rules of the protocol, each of which can be left out to see what breaks.
#[expect(clippy::struct_excessive_bools, reason = "each is one rule")]
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// `commit.lua` and `tombstone.lua` mind tombstones.
    pub(super) tombstones: bool,
    /// `commit.lua` minds the token of the claim.
    pub(super) token_check: bool,
    /// `forget` of `shared.lua` keeps the highest token.
    pub(super) token_floor: bool,
    /// `show_out_strangers` of the supervisor.
    pub(super) strangers_go: bool,
}

impl Rules {
    pub(super) const ALL: Self = Self { tombstones: true, token_check: true, token_floor: true, strangers_go: true };
}

/// A step; the number is the replica that takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Ask(usize),
    Take(usize),
    End(usize),
    FindAgain(usize),
    Next(usize),
    Adopt(usize),
    Discard(usize),
    Again(usize),
    Conclude(usize, Verdict),
    Lapse,
    Arrive,
    ArriveDelete(u8),
    AgentDies,
    Crash(usize),
    /// It crashes while its request to create is on its way.
    CrashInCreate(usize),
    /// Done, but the reply is lost.
    ReplyLost(usize),
    /// It gives up waiting; done later.
    Late(usize),
    /// A claim lapses whose holder lives.
    Pause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Well,
    Redispatch,
    End,
}

/// What happens in time, by itself: when there is none of it, all is done.
pub(super) fn due(world: &World, rules: &Rules, actions: &mut Vec<Action>) {
    for (r, replica) in world.replicas.iter().enumerate() {
        match replica.step {
            Step::Idle => {
                if replica.owes && may_ask(world) {
                    actions.push(Action::Ask(r));
                }
                if may_take(world, rules) {
                    actions.push(Action::Take(r));
                }
                if world.entry.is_none() && !world.live.is_empty() {
                    actions.push(Action::FindAgain(r));
                }
            }
            Step::Dead => {}
            Step::Settle(_, seen, _) if !seen.is_empty() => actions.extend([Action::Adopt(r), Action::Discard(r)]),
            Step::GiveUp(_, Why::Make) => actions.extend([Action::Again(r), Action::Next(r)]),
            Step::Observe(_, seen) => actions.push(Action::Conclude(r, judge(world, seen))),
            _ => actions.push(Action::Next(r)),
        }
    }
    let entry = world.entry.as_ref();
    if let (Some(entry), Some(Claim { lapsed: false, .. })) = (entry, entry.and_then(|entry| entry.claim))
        && !is_held(world, entry.token)
    {
        actions.push(Action::Lapse);
    }
    if world.late_creates > 0 {
        actions.push(Action::Arrive);
    }
    actions.extend(world.late_deletes.each().map(Action::ArriveDelete));
}

/// What may happen, or not: wishes, deaths and faults, of which there are so many.
pub(super) fn faults(world: &World, actions: &mut Vec<Action>) {
    let entry = world.entry.as_ref();
    if world.deaths_left > 0 && entry.is_some_and(|entry| entry.committed.is_some() && !entry.unwell) {
        actions.push(Action::AgentDies);
    }
    for (r, replica) in world.replicas.iter().enumerate() {
        if world.ends_left > 0
            && replica.step == Step::Idle
            && entry.is_some_and(|entry| may_end(entry.phase, entry.claim))
        {
            actions.push(Action::End(r));
        }
        if world.ends_left > 0 && matches!(replica.step, Step::Observe(..)) {
            actions.push(Action::Conclude(r, Verdict::End));
        }
        if world.faults_left == 0 || replica.step == Step::Dead {
            continue;
        }
        if replica.step != Step::Idle {
            actions.extend([Action::Crash(r), Action::ReplyLost(r)]);
        }
        match replica.step {
            Step::Create(_) => actions.extend([Action::CrashInCreate(r), Action::Late(r)]),
            Step::Remove { marked: true, .. } => actions.push(Action::Late(r)),
            _ => {}
        }
    }
    if world.faults_left > 0
        && let Some(entry) = entry
        && entry.claim.is_some_and(|claim| !claim.lapsed)
        && is_held(world, entry.token)
    {
        actions.push(Action::Pause);
    }
}

fn is_held(world: &World, token: u8) -> bool {
    world.replicas.iter().any(|replica| replica.step.token() == Some(token))
}

fn is_busy(claim: Option<Claim>) -> bool {
    claim.is_some_and(|claim| !claim.lapsed)
}

fn may_end(phase: Phase, claim: Option<Claim>) -> bool {
    phase != Phase::Ending || !is_busy(claim)
}

/// Whether `acquire.lua` says anything but *wait*.
fn may_ask(world: &World) -> bool {
    let Some(entry) = &world.entry else { return true };
    let checked = entry.claim.is_some_and(|claim| claim.kind == Kind::Check);
    !is_busy(entry.claim) || (checked && entry.committed.is_some())
}

/// Whether `reap/provider.lua` finds it due. Looks recur for ever; those that would find nothing are left out.
fn may_take(world: &World, rules: &Rules) -> bool {
    let Some(entry) = &world.entry else { return false };
    let strangers = rules.strangers_go && entry.committed.is_some_and(|id| !world.live.without(id).is_empty());
    let checked = entry.committed.is_some() && entry.claim.is_none() && !entry.unwell && !strangers;
    !is_busy(entry.claim) && !checked
}

pub(super) fn apply(world: &mut World, rules: &Rules, action: Action) {
    match action {
        Action::Ask(r) => ask(world, rules, r),
        Action::Take(r) => take(world, r),
        Action::End(r) => {
            world.ends_left -= 1;
            world.bury(rules.tombstones);
            set_phase(world, Phase::Ending);
            let token = world.claim(Kind::End);
            world.replicas[r].step = Step::Look(token, Why::End);
        }
        Action::FindAgain(r) => world.replicas[r].step = Step::Look(world.claim(Kind::Create), Why::FindAgain),
        Action::Next(r) => world.replicas[r].step = next(world, rules, r),
        Action::Adopt(r) => {
            if let (Step::Settle(token, seen, why), Some(id)) = (world.replicas[r].step, first(world, r)) {
                world.replicas[r].step = Step::Commit(token, id, Some((seen.without(id), why)));
            }
        }
        Action::Discard(r) => {
            if let (Step::Settle(token, seen, why), Some(id)) = (world.replicas[r].step, first(world, r)) {
                world.replicas[r].step = remove(Ids::of(id), Then::Settle(token, seen.without(id), why));
            }
        }
        Action::Again(r) => {
            if let Step::GiveUp(token, why) = world.replicas[r].step {
                world.replicas[r].step = Step::Look(token, why);
            }
        }
        Action::Conclude(r, verdict) => world.replicas[r].step = conclude(world, rules, r, verdict),
        Action::Lapse => lapse(world),
        Action::Arrive => {
            world.late_creates -= 1;
            world.make();
        }
        Action::ArriveDelete(id) => {
            world.late_deletes = world.late_deletes.without(id);
            world.live = world.live.without(id);
        }
        Action::AgentDies => {
            world.deaths_left -= 1;
            if let Some(entry) = &mut world.entry {
                entry.unwell = true;
            }
        }
        fault => suffer(world, rules, fault),
    }
}

fn suffer(world: &mut World, rules: &Rules, fault: Action) {
    world.faults_left -= 1;
    match fault {
        Action::Crash(r) => world.replicas[r].step = Step::Dead,
        Action::CrashInCreate(r) => {
            world.late_creates += 1;
            world.replicas[r].step = Step::Dead;
        }
        Action::ReplyLost(r) => {
            let before = world.replicas[r].step;
            do_unheard(world, rules, r);
            world.replicas[r].step = match before {
                // Said again until there is an answer.
                Step::Commit(..) => before,
                Step::Look(token, why @ (Why::Make | Why::FindAgain | Why::Check | Why::End)) => {
                    Step::GiveUp(token, why)
                }
                Step::Create(token) => Step::GiveUp(token, Why::Make),
                Step::Remove { marked: true, .. } => after_failed_delete(before),
                _ => Step::Idle,
            };
        }
        Action::Late(r) => match world.replicas[r].step {
            Step::Create(token) => {
                world.late_creates += 1;
                world.replicas[r].step = Step::GiveUp(token, Why::Make);
            }
            before => {
                world.late_deletes = first(world, r).map_or(world.late_deletes, |id| world.late_deletes.with(id));
                world.replicas[r].step = after_failed_delete(before);
            }
        },
        Action::Pause => lapse(world),
        other => unreachable!("no fault: {other:?}"),
    }
}

/// The step is carried out, and whoever took it does not know.
fn do_unheard(world: &mut World, rules: &Rules, r: usize) {
    match world.replicas[r].step {
        Step::Observe(_, seen) => {
            let verdict = judge(world, seen);
            conclude(world, rules, r, verdict);
        }
        // Before a choice, nothing is under way.
        Step::Settle(_, seen, _) if !seen.is_empty() => {}
        _ => {
            next(world, rules, r);
        }
    }
}

/// What `observe.lua` says of a look, where nobody wants an end.
fn judge(world: &World, seen: Ids) -> Verdict {
    let well = |entry: &Entry| !entry.unwell && entry.committed.is_none_or(|id| seen.has(id));
    if world.entry.as_ref().is_none_or(well) { Verdict::Well } else { Verdict::Redispatch }
}

fn ask(world: &mut World, rules: &Rules, r: usize) {
    let anew = |world: &mut World| {
        world.bury(rules.tombstones);
        set_phase(world, Phase::Making);
        Step::Look(world.claim(Kind::Create), Why::Make)
    };
    world.replicas[r].step = match &world.entry {
        Some(entry) if matches!(entry.phase, Phase::Failed | Phase::Ending) || entry.unwell => anew(world),
        Some(entry) => match entry.committed {
            Some(id) => {
                world.broken.answer_lied |= !world.live.has(id);
                world.replicas[r].owes = false;
                Step::Idle
            }
            // Its maker was lost: the same wish goes on.
            None => Step::Look(world.claim(Kind::Create), Why::Make),
        },
        None => anew(world),
    };
}

fn take(world: &mut World, r: usize) {
    let Some(entry) = &world.entry else { return };
    let (kind, why) = match (entry.phase, entry.committed) {
        (Phase::Ending | Phase::Failed, _) => (Kind::End, Why::End),
        (_, None) => (Kind::Create, Why::Make),
        (_, Some(_)) => (Kind::Check, Why::Check),
    };
    let token = world.claim(kind);
    world.replicas[r].step = Step::Look(token, why);
}

fn conclude(world: &mut World, rules: &Rules, r: usize, verdict: Verdict) -> Step {
    let Step::Observe(token, seen) = world.replicas[r].step else { return Step::Idle };
    if !holds(world, token, &[Kind::Check]) {
        return Step::Idle;
    }
    match verdict {
        Verdict::Well => {
            set_claim(world, None);
            let ours = world.committed().filter(|id| seen.has(*id) && rules.strangers_go);
            ours.map_or(Step::Idle, |id| remove(seen.without(id), Then::Idle))
        }
        Verdict::Redispatch => {
            world.bury(rules.tombstones);
            set_claim(world, Some(Kind::Redispatch));
            Step::Look(token, Why::Make)
        }
        Verdict::End => {
            world.ends_left -= 1;
            world.bury(rules.tombstones);
            set_phase(world, Phase::Ending);
            set_claim(world, Some(Kind::End));
            Step::Look(token, Why::End)
        }
    }
}

/// Takes the step that the replica stands before, without a fault; returns the one after.
fn next(world: &mut World, rules: &Rules, r: usize) -> Step {
    match world.replicas[r].step {
        Step::Look(token, why) => match why {
            Why::Make | Why::FindAgain => Step::Settle(token, world.live, why),
            Why::Check => Step::Observe(token, world.live),
            Why::End => remove(world.live, Then::Ended(token)),
            Why::Undo => remove(world.live, Then::Idle),
        },
        Step::Settle(token, _, Why::FindAgain) => Step::GiveUp(token, Why::FindAgain),
        Step::Settle(token, ..) => {
            if !holds(world, token, &[Kind::Create, Kind::Redispatch, Kind::Check, Kind::End]) {
                return Step::Idle;
            }
            renew(world);
            Step::Create(token)
        }
        Step::Create(token) => Step::Commit(token, world.make(), None),
        Step::Commit(token, id, rest) => commit(world, rules, r, token, id, rest),
        Step::Remove { ids, marked, then } => remove_next(world, rules, ids, marked, then),
        Step::GiveUp(token, why) => fail(world, r, token, why),
        Step::Ended(token) => {
            if holds(world, token, &[Kind::End]) {
                world.floor = if rules.token_floor { world.floor.max(token) } else { 0 };
                world.entry = None;
            }
            Step::Idle
        }
        step @ (Step::Idle | Step::Dead | Step::Observe(..)) => step,
    }
}

fn commit(world: &mut World, rules: &Rules, r: usize, token: u8, id: u8, rest: Option<(Ids, Why)>) -> Step {
    let done = remove(rest.map(|(rest, _)| rest).unwrap_or_default(), Then::Idle);
    let again = world.entry.as_ref().is_some_and(|entry| entry.committed == Some(id) && entry.token == token);
    let held = holds(world, token, &[Kind::Create, Kind::Redispatch]) || (!rules.token_check && world.entry.is_some());
    if again {
        world.replicas[r].owes = false;
        return done;
    }
    match rest {
        None if !held => remove(Ids::of(id), Then::Idle),
        Some(_) if !held => Step::Idle,
        None if world.tombstones.has(id) => remove(Ids::of(id), Then::Again(token)),
        Some((rest, why)) if world.tombstones.has(id) => remove(Ids::of(id), Then::Settle(token, rest, why)),
        _ => {
            world.bury(rules.tombstones);
            if let Some(entry) = &mut world.entry {
                (entry.claim, entry.committed, entry.phase) = (None, Some(id), Phase::Serving);
            }
            world.note_commit(token);
            world.replicas[r].owes = false;
            done
        }
    }
}

fn remove(ids: Ids, then: Then) -> Step {
    if !ids.is_empty() {
        return Step::Remove { ids, marked: false, then };
    }
    match then {
        Then::Idle => Step::Idle,
        Then::Settle(token, rest, why) => Step::Settle(token, rest, why),
        Then::Again(token) => Step::GiveUp(token, Why::Make),
        Then::Ended(token) => Step::Ended(token),
    }
}

fn remove_next(world: &mut World, rules: &Rules, ids: Ids, marked: bool, then: Then) -> Step {
    let Some(id) = ids.first() else { return remove(ids, then) };
    if marked {
        world.live = world.live.without(id);
        return remove(ids.without(id), then);
    }
    if world.committed() == Some(id) {
        return remove(ids.without(id), then);
    }
    if rules.tombstones {
        world.tombstones = world.tombstones.with(id);
    }
    Step::Remove { ids, marked: true, then }
}

fn after_failed_delete(before: Step) -> Step {
    match before {
        Step::Remove { then: Then::Settle(token, _, why), .. } => Step::GiveUp(token, why),
        Step::Remove { then: Then::Again(token), .. } => Step::GiveUp(token, Why::Make),
        Step::Remove { then: Then::Ended(token), .. } => Step::GiveUp(token, Why::End),
        _ => Step::Idle,
    }
}

fn fail(world: &mut World, r: usize, token: u8, why: Why) -> Step {
    if !holds(world, token, &[Kind::Create, Kind::Redispatch, Kind::Check, Kind::End]) {
        return if why == Why::Make { Step::Look(0, Why::Undo) } else { Step::Idle };
    }
    set_claim(world, None);
    if world.entry.as_ref().is_some_and(|entry| entry.phase == Phase::Making) {
        set_phase(world, Phase::Failed);
    }
    world.replicas[r].owes &= why != Why::Make;
    Step::Idle
}

fn holds(world: &World, token: u8, kinds: &[Kind]) -> bool {
    world
        .entry
        .as_ref()
        .is_some_and(|entry| entry.token == token && entry.claim.is_some_and(|claim| kinds.contains(&claim.kind)))
}

fn set_phase(world: &mut World, phase: Phase) {
    if let Some(entry) = &mut world.entry {
        entry.phase = phase;
    }
}

fn set_claim(world: &mut World, kind: Option<Kind>) {
    if let Some(entry) = &mut world.entry {
        entry.claim = kind.map(|kind| Claim { kind, lapsed: false });
    }
}

fn renew(world: &mut World) {
    if let Some(claim) = world.entry.as_mut().and_then(|entry| entry.claim.as_mut()) {
        claim.lapsed = false;
    }
}

fn lapse(world: &mut World) {
    if let Some(claim) = world.entry.as_mut().and_then(|entry| entry.claim.as_mut()) {
        claim.lapsed = true;
    }
}

/// The id that the replica's step is about.
fn first(world: &World, r: usize) -> Option<u8> {
    match world.replicas[r].step {
        Step::Settle(_, ids, _) | Step::Remove { ids, .. } => ids.first(),
        _ => None,
    }
}
