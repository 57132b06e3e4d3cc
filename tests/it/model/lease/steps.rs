//! What can happen next, and what comes of it.

use super::world::{Call, Caller, LEASES, Lease, Process, Runner, Serves, State, Store, WORKERS, Wish, Worker, World};

/// Calls of the runner that are on their way at once.
const CALLS_MAX: usize = 2;

/// The rules of the protocol; each can be left out.
#[expect(clippy::struct_excessive_bools, reason = "each is a rule that is there or not")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// What a runner says has ended counts for the instruction that it names.
    pub(super) number_check: bool,
    /// A worker is reset, and that is proved, before it is ready for the next.
    pub(super) reset: bool,
    /// A worker's own runner hands nothing to one that is not clean and ready.
    pub(super) runner_check: bool,
    /// An offer that nobody comes for is over.
    pub(super) offers_end: bool,
    /// A worker that was told more than the store knows of is not taken for what the store has.
    pub(super) catch_up: bool,
    /// A call that is older than the last one that counted does not count.
    pub(super) sequence: bool,
    /// A call of an earlier boot is older than those of a later one.
    pub(super) boots: bool,
}

impl Rules {
    pub(super) const ALL: Self = Self {
        number_check: true,
        reset: true,
        runner_check: true,
        offers_end: true,
        catch_up: true,
        sequence: true,
        boots: true,
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Ask(usize),
    Confirm(usize),
    Release(usize),
    /// The time of its lease, of its offer, or of its place in line is over.
    TimeOver(usize),
    /// A worker did not do in time what it was to do.
    Overdue(usize),
    Plan,
    Call,
    Arrive(usize),
    /// The runner does with a worker what the last answer says; or that fails.
    Do(usize),
    Fail(usize),
    /// It is carried out, and its caller hears nothing, and gives up what was not its own yet.
    ConfirmUnheard(usize),
    CallerGoes(usize),
    ProcessDies(usize),
    RunnerIsKilled,
    /// The runner was not heard of for so long that it is taken for gone.
    RunnerIsSilent,
    /// The runner gives up waiting for a call, which may arrive all the same, and makes another.
    CallAgain,
    StoreIsEmptied,
}

/// What happens by itself, sooner or later.
pub(super) fn due(world: &World, rules: Rules, actions: &mut Vec<Action>) {
    for (k, caller) in world.callers.iter().enumerate() {
        let lease = world.store.leases[k];
        match caller {
            // One after the other: who is which does not matter.
            Caller::ToCome if k == 0 || world.callers[k - 1] != Caller::ToCome => actions.push(Action::Ask(k)),
            Caller::Asking if matches!(lease, None | Some(Lease::Offered { taken: true, .. } | Lease::Held { .. })) => {
                actions.push(Action::Confirm(k));
            }
            Caller::Holds(_) => actions.push(Action::Release(k)),
            _ => {}
        }
        let is_bounded = rules.offers_end || !matches!(lease, Some(Lease::Offered { taken: true, .. }));
        let is_left = matches!(caller, Caller::Gone | Caller::Done);
        if lease.is_some() && is_left && is_bounded {
            actions.push(Action::TimeOver(k));
        }
    }
    let lives = |worker: &Option<Worker>| worker.is_some_and(|worker| worker.state != State::Terminated);
    let has_worker = world.store.workers.iter().any(lives);
    if let Some(k) = (0..LEASES).find(|k| is_waiting(world, *k)).filter(|_| !has_worker) {
        let can_start = (0..WORKERS).any(|w| world.is_fresh(w));
        actions.push(if can_start { Action::Plan } else { Action::TimeOver(k) });
    }
    actions.extend((0..world.calls.len()).map(Action::Arrive));
    let runner = &world.runner;
    if !world.is_waited_for() && world.calls.len() < CALLS_MAX && runner.has_news(&world.store) {
        actions.push(Action::Call);
    }
    actions.extend((0..WORKERS).filter(|w| runner.has_to_do(*w)).map(Action::Do));
    let is_busy = !world.calls.is_empty() || runner.has_news(&world.store) || (0..WORKERS).any(|w| runner.has_to_do(w));
    if !is_busy {
        actions.extend((0..WORKERS).filter(|w| world.store.is_pending(*w)).map(Action::Overdue));
    }
}

/// What may happen instead, so often.
pub(super) fn faults(world: &World, actions: &mut Vec<Action>) {
    if world.faults_left == 0 {
        return;
    }
    for (k, caller) in world.callers.iter().enumerate() {
        let lease = world.store.leases[k];
        if matches!(caller, Caller::Asking | Caller::Holds(_)) {
            actions.push(Action::CallerGoes(k));
        }
        if *caller == Caller::Asking && matches!(lease, Some(Lease::Offered { taken: true, .. })) {
            actions.push(Action::ConfirmUnheard(k));
        }
        // It lives, and is too slow, or waits for too long.
        if lease.is_some() && matches!(caller, Caller::Asking | Caller::Holds(_)) {
            actions.push(Action::TimeOver(k));
        }
    }
    actions.extend((0..WORKERS).filter(|w| world.store.is_pending(*w)).map(Action::Overdue));
    for (w, process) in world.runner.processes.iter().enumerate() {
        if process.is_some_and(|process| process.serves != Serves::Gone) {
            actions.push(Action::ProcessDies(w));
            if matches!(world.runner.wishes[w], Some(Wish::Assign(..) | Wish::Reset(_))) && world.runner.has_to_do(w) {
                actions.push(Action::Fail(w));
            }
        }
    }
    actions.extend([Action::RunnerIsKilled, Action::RunnerIsSilent, Action::StoreIsEmptied]);
    if world.is_waited_for() && world.calls.len() < CALLS_MAX {
        actions.push(Action::CallAgain);
    }
}

pub(super) fn apply(world: &mut World, rules: Rules, action: Action) {
    match action {
        Action::Ask(k) => {
            world.callers[k] = Caller::Asking;
            world.store.leases[k] = Some(Lease::Waiting);
            world.serve();
        }
        Action::Confirm(k) => world.callers[k] = world.confirm(k).map_or(Caller::Done, Caller::Holds),
        Action::Release(k) => {
            if let (Caller::Holds(token), Some(Lease::Held { token: known, .. })) =
                (world.callers[k], world.store.leases[k])
                && token == known
            {
                world.end(k, rules);
            }
            world.callers[k] = Caller::Done;
        }
        Action::TimeOver(k) => {
            let is_left = matches!(world.callers[k], Caller::Gone | Caller::Done);
            world.faults_left = world.faults_left.saturating_sub(u8::from(!is_left));
            world.seen.lapsed_while_held |= matches!(world.callers[k], Caller::Holds(_));
            world.end(k, rules);
        }
        Action::Overdue(w) => {
            world.faults_left = world.faults_left.saturating_sub(1);
            world.overdue(w);
        }
        Action::Plan => {
            let w = (0..WORKERS).find(|w| world.is_fresh(*w)).unwrap_or_default();
            let fresh = Worker { state: State::Initializing, token: 0, instructed: false, lease: None };
            world.store.workers[w] = Some(fresh);
        }
        Action::Call => world.call(),
        Action::Arrive(at) => {
            let is_waited_for = at + 1 == world.calls.len() && world.is_waited_for();
            let call = world.calls.remove(at);
            world.sync(&call, rules);
            if is_waited_for {
                world.runner.hear(&world.store, &call);
            }
        }
        Action::Do(w) => world.carry_out(w, rules, true),
        _ => {
            world.faults_left -= 1;
            go_wrong(world, rules, action);
        }
    }
}

pub(super) fn is_waiting(world: &World, k: usize) -> bool {
    world.store.leases[k] == Some(Lease::Waiting)
}

fn go_wrong(world: &mut World, rules: Rules, action: Action) {
    match action {
        Action::Fail(w) => world.carry_out(w, rules, false),
        Action::ConfirmUnheard(k) => {
            world.confirm(k);
            world.callers[k] = Caller::Gone;
        }
        Action::CallerGoes(k) => world.callers[k] = Caller::Gone,
        Action::ProcessDies(w) => {
            world.runner.processes[w] = Some(Process { serves: Serves::Gone, ended: None });
        }
        Action::RunnerIsKilled => {
            let boot = world.runner.boot + 1;
            world.runner = Runner { boot, ..World::new(0, 0).runner };
        }
        Action::RunnerIsSilent => (0..WORKERS).for_each(|w| world.lose(w)),
        Action::StoreIsEmptied => {
            let life = world.store.life + 1;
            world.store = Store { life, ..World::new(0, 0).store };
        }
        _ => world.call(),
    }
}

impl Store {
    /// Whether the worker is to do something, and has not.
    fn is_pending(&self, w: usize) -> bool {
        self.workers[w].is_some_and(|worker| worker.instructed || worker.state == State::Initializing)
    }
}

impl Runner {
    /// Whether there is something to tell, or to be told.
    pub(super) fn has_news(&self, store: &Store) -> bool {
        self.told != Some(self.processes) || self.store != Some(store.life) || self.wishes != wishes(store)
    }

    fn has_to_do(&self, w: usize) -> bool {
        let Some(process) = self.processes[w] else { return self.wishes[w] == Some(Wish::Run) };
        if process.serves == Serves::Gone || self.told.is_none() {
            return false;
        }
        match self.wishes[w] {
            Some(Wish::Assign(token, _) | Wish::Reset(token)) => process.ended.is_none_or(|(ended, _)| ended != token),
            Some(Wish::Run | Wish::Keep) => false,
            None => true,
        }
    }

    /// The answer to its newest call. One of another store than the one before decides nothing.
    fn hear(&mut self, store: &Store, call: &Call) {
        if self.store.is_some_and(|known| known != store.life) {
            (self.store, self.told) = (Some(store.life), None);
            return;
        }
        (self.store, self.told, self.wishes) = (Some(store.life), Some(call.processes), wishes(store));
        for (w, told) in call.processes.iter().enumerate() {
            if told.is_some_and(|process| process.serves == Serves::Gone) {
                self.processes[w] = None;
                self.told = self.told.map(|mut told| {
                    told[w] = None;
                    told
                });
            }
        }
    }
}

/// What the store says is to become of each worker.
fn wishes(store: &Store) -> [Option<Wish>; WORKERS] {
    store.workers.map(|worker| {
        let worker = worker?;
        Some(match (worker.state, worker.lease) {
            (State::Initializing | State::Ready, _) => Wish::Run,
            (State::Busy, Some(lease)) if worker.instructed => Wish::Assign(worker.token, lease),
            (State::Busy, _) => Wish::Keep,
            (State::Resetting, _) => Wish::Reset(worker.token),
            (State::Terminating | State::Terminated, _) => return None,
        })
    })
}

impl World {
    fn call(&mut self) {
        self.runner.number += 1;
        let Runner { boot, number, processes, .. } = self.runner;
        self.calls.push(Call { boot, number, processes });
    }

    /// The runner does what it was told last, or fails.
    fn carry_out(&mut self, w: usize, rules: Rules, well: bool) {
        let Some(mut process) = self.runner.processes[w] else {
            self.runner.processes[w] = Some(Process { serves: Serves::Nobody, ended: None });
            return;
        };
        match self.runner.wishes[w] {
            Some(Wish::Assign(token, k)) => {
                let is_clean = process.serves == Serves::Nobody;
                let takes = well && (is_clean || !rules.runner_check);
                self.broken.took_another |= takes && !is_clean;
                process.ended = Some((token, takes));
                if takes {
                    process.serves = Serves::Lease(k);
                }
            }
            Some(Wish::Reset(token)) => {
                process.ended = Some((token, well));
                process.serves = if well { Serves::Nobody } else { Serves::Unclean };
            }
            _ => process = Process { serves: Serves::Gone, ended: None },
        }
        self.runner.processes[w] = Some(process);
    }
}
