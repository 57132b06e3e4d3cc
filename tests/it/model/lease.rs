//! Leases of a pool: whoever crashes, pauses, comes back or forgets, a worker serves one session at a time, is clean
//! before the next, and every lease ends.
//!
//! ```text
//!                         ┌───────── worker lost, refused, late ─────────┐
//!                         ▼                                              │
//! to come ── Ask ──▶ waiting ── serve ──▶ offered ── Arrive (done) ──▶ offered, taken ── Confirm ──▶ held
//!                         │                  │                           │                            │
//!                         └── TimeOver ──────┴───────────────────────────┴── TimeOver, Release ───────┘
//!                                                                                 ▼
//! worker:  initializing ── Arrive ──▶ ready ── serve ──▶ busy ───────────────▶ resetting ── Arrive (done) ──▶ ready
//! ```
//!
//! Each action is one step of the code; a change there has to change it here.
//!
//! | here | code |
//! |---|---|
//! | `Ask` | `pool/acquire.lua`, in the name of a session that asks once |
//! | `Confirm` | `lease/confirm.lua`; `ConfirmUnheard` is the same, and its caller is never told |
//! | `Release` | `lease/release.lua`, with the token of the lease |
//! | `TimeOver` | `reap/lease.lua` where nobody renewed, `reap/pool.lua` where nobody came for an offer or a wait is over; of a caller that lives, as a fault (a pause) |
//! | `Overdue` | `reap/pool.lua`: a start, an assignment, a reset or a stop takes too long |
//! | `Plan` | `pool/plan.lua`, of a pool that has one worker where somebody waits |
//! | `Call` | `Runner::call` where there is news for either; `CallAgain` gives the last one up, which may arrive later |
//! | `Arrive` | `runner/sync.lua`, and `Runner::apply` where the runner still waits for that call |
//! | `Do`, `Fail` | `Runner::grant`, and `Worker::assign` or a reset, or a stop |
//! | `RunnerIsKilled` | the runner and all its workers, in one go; it comes back under another boot |
//! | `RunnerIsSilent` | `reap/lease.lua`: the runner pauses for so long that its workers count as lost |
//! | `StoreIsEmptied` | a Redis that comes back with nothing; `take_in` and `adopt_session` of `runner/follow.lua` |
//!
//! Left out: names of sessions, health, marks, several pools and runners, and whatever is nothing but a time until a step
//! may be taken. Tokens look like times, so that they go on growing where the store forgets.

mod steps;
mod store;
mod world;

use stateright::{Checker as _, HasDiscoveries, Model, Property};

use self::steps::{Action, Rules};
use self::world::{Caller, LEASES, Lease, Serves, World};
use crate::support::size_of_test;

const ONE_EACH: &str = "a worker has one lease";
const CLEAN: &str = "a worker takes a session only where it has nothing of another";
const SERVED: &str = "who holds a lease is served by its worker while that lives, once the runner has told all";
const KEPT: &str = "no session loses a worker that serves it by what its runner says";
const SETTLED: &str = "when nothing is left to do, every lease has ended";
const LAPSED: &str = "a lease lapses, and its holder does not know";
const ADOPTED: &str = "a session outlives the store's memory";
const REUSED: &str = "a worker serves a second session";

/// The protocol with so many who ask, faults, and rules.
#[derive(Clone, Debug)]
struct Leases {
    callers: usize,
    faults: u8,
    rules: Rules,
}

impl Model for Leases {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.callers, self.faults)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        steps::due(world, self.rules, actions);
        steps::faults(world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        steps::apply(&mut next, self.rules, action);
        next.normalise();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_EACH, |_, world: &World| {
                let mut workers: Vec<_> = world.leased().collect();
                workers.sort_unstable();
                workers.is_sorted_by(|a, b| a < b)
            }),
            Property::always(CLEAN, |_, world: &World| !world.broken.took_another),
            Property::always(SERVED, |_, world: &World| world.are_served()),
            Property::always(KEPT, |_, world: &World| !world.broken.lost_a_serving_one),
            Property::always(SETTLED, |model: &Self, world| {
                let mut due = Vec::new();
                steps::due(world, model.rules, &mut due);
                !due.is_empty() || world.is_settled()
            }),
            Property::sometimes(LAPSED, |_, world: &World| world.seen.lapsed_while_held),
            Property::sometimes(ADOPTED, |_, world: &World| world.seen.adopted),
            Property::sometimes(REUSED, |_, world: &World| {
                matches!(world.callers, [Caller::Done, Caller::Holds(_), ..]) && world.store.workers[1].is_none()
            }),
        ]
    }
}

impl World {
    fn leased(&self) -> impl Iterator<Item = usize> {
        self.store.leases.iter().flatten().filter_map(|lease| match lease {
            Lease::Offered { worker, .. } | Lease::Held { worker, .. } => Some(*worker),
            Lease::Waiting => None,
        })
    }

    fn are_served(&self) -> bool {
        !self.calls.is_empty()
            || self.runner.has_news(&self.store)
            || self.callers.iter().enumerate().all(|(k, caller)| match (caller, self.store.leases[k]) {
                (Caller::Holds(token), Some(Lease::Held { worker, token: known })) if *token == known => {
                    let process = self.runner.processes[worker];
                    process.is_none_or(|process| {
                        matches!(process.serves, Serves::Gone) || process.serves == Serves::Lease(k)
                    })
                }
                _ => true,
            })
    }
}

fn exhaust(faults: u8) {
    let began = std::time::Instant::now();
    let model = Leases { callers: LEASES, faults, rules: Rules::ALL };
    let checked = model.checker().threads(2).spawn_bfs().join();
    let (states, depth) = (checked.unique_state_count(), checked.max_depth());
    eprintln!("{faults} faults: {states} states, {depth} deep, {:?}", began.elapsed());
    checked.assert_properties();
}

/// Without the rule the property must fail: else the model, or the rule, is good for nothing.
fn must_break(faults: u8, rules: Rules, property: &'static str) {
    let model = Leases { callers: 2, faults, rules };
    let found = HasDiscoveries::AnyOf([property].into());
    let checked = model.checker().threads(2).finish_when(found).spawn_bfs().join();
    let path = checked.assert_any_discovery(property);
    eprintln!("{property}, broken in {} steps: {:?}", path.clone().into_actions().len(), path.into_actions());
}

#[test]
fn the_lease_protocol_holds() {
    let faults = size_of_test("GREENROOM_MODEL_FAULTS", 1);
    exhaust(faults.try_into().expect("a small number"));
}

#[test]
fn without_the_number_of_the_instruction_what_was_done_before_counts_for_the_next() {
    must_break(0, Rules { number_check: false, ..Rules::ALL }, SERVED);
}

#[test]
fn without_the_reset_a_worker_takes_a_session_with_another_one_in_it() {
    must_break(0, Rules { reset: false, runner_check: false, ..Rules::ALL }, CLEAN);
}

#[test]
fn without_an_end_of_offers_that_of_a_caller_that_has_gone_stays() {
    must_break(1, Rules { offers_end: false, ..Rules::ALL }, SETTLED);
}

#[test]
fn without_a_look_at_what_a_worker_was_told_a_session_that_is_over_comes_back() {
    must_break(2, Rules { catch_up: false, ..Rules::ALL }, SERVED);
}

#[test]
fn without_the_sequence_a_late_call_loses_a_worker_that_lives() {
    must_break(1, Rules { sequence: false, ..Rules::ALL }, KEPT);
}

#[test]
fn without_an_order_of_boots_a_late_call_of_a_runner_that_was_killed_loses_a_worker_that_lives() {
    must_break(2, Rules { boots: false, ..Rules::ALL }, KEPT);
}
