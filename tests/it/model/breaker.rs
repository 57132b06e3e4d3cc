//! Breakers: replicas that call through one, crash with a permit, and report late.
//!
//! ```text
//! idle ── Ask ──▶ calls(generation, probe?) ── Succeed, Fail ──▶ idle        Crash: calls ──▶ idle, nothing is reported
//! ```
//!
//! | here | code |
//! |---|---|
//! | `Ask` | `breaker/permit.lua`: closed, a call; half-open, a probe with a deadline, as long as there is a place |
//! | `Succeed`, `Fail` | `breaker/report.lua`: of this generation, and of a permit that has not lapsed |
//! | `TimeOver` | `open_until` has passed: the next who asks finds it half-open |
//! | `Lapse` | the deadline of a permit has passed; the one who holds it may not know it |
//!
//! A replica that stalls needs no action of its own: any may report as late as it likes.

use stateright::{Checker as _, HasDiscoveries, Model, Property};

const FEW_PROBES: &str = "no more permits of a generation are valid at once than may be";
const OLD_ONES_COUNT_NOT: &str = "what was permitted before a transition brings no other";
const LAPSED_ONES_COUNT_NOT: &str = "a permit that lapsed brings no transition";
const NEVER_STUCK: &str = "half-open, somebody may probe or be answered";
const IT_CLOSES: &str = "it closes again";
const A_CRASH_IS_FOLLOWED: &str = "after a crash with the only permit, another probes";

#[derive(Clone, Debug)]
struct Callers {
    generation_check: bool,
    lapse: bool,
    places_check: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Replica {
    Idle,
    /// `probe` is the number of its permit.
    Calls {
        generation: u8,
        probe: Option<u8>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Closed,
    Open,
    HalfOpen,
}

#[expect(clippy::struct_excessive_bools, reason = "each is one thing that happened or not")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Breaker {
    replicas: Vec<Replica>,
    state: State,
    generation: u8,
    streak: u8,
    successes: u8,
    /// Those permits that have not lapsed.
    permits: Vec<u8>,
    given: u8,
    crashes: u8,
    crashed_with_a_permit: bool,
    old_one_counted: bool,
    lapsed_one_counted: bool,
    closed_again: bool,
    probed_after_crash: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Ask(usize),
    Succeed(usize),
    Fail(usize),
    Crash(usize),
    TimeOver,
    Lapse(u8),
}

const REPLICAS: usize = 3;
const FAILURES_MAX: u8 = 2;
const PROBES_MAX: usize = 1;
const SUCCESSES_MIN: u8 = 1;
const GENERATIONS_MAX: u8 = 5;
const PERMITS_MAX: u8 = 4;
const CRASHES_MAX: u8 = 1;

impl Breaker {
    fn go(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
        (self.streak, self.successes) = (0, 0);
        self.permits.clear();
    }

    fn ask(&mut self, model: &Callers, replica: usize) -> bool {
        let generation = self.generation;
        match self.state {
            State::Open => return false,
            State::Closed => self.replicas[replica] = Replica::Calls { generation, probe: None },
            State::HalfOpen if model.places_check && self.permits.len() >= PROBES_MAX => return false,
            State::HalfOpen if self.given == PERMITS_MAX => return false,
            State::HalfOpen => {
                self.given += 1;
                self.permits.push(self.given);
                self.probed_after_crash |= self.crashed_with_a_permit;
                self.replicas[replica] = Replica::Calls { generation, probe: Some(self.given) };
            }
        }
        true
    }

    fn report(&mut self, model: &Callers, generation: u8, probe: Option<u8>, failed: bool) {
        if model.generation_check && generation != self.generation {
            return;
        }
        let before = self.generation;
        match self.state {
            State::Open => return,
            State::Closed => {
                self.streak = if failed { self.streak + 1 } else { 0 };
                if self.streak >= FAILURES_MAX {
                    self.go(State::Open);
                }
            }
            State::HalfOpen => {
                let is_valid = probe.is_some_and(|probe| self.permits.contains(&probe));
                if model.generation_check && !is_valid {
                    return;
                }
                self.permits.retain(|permit| Some(*permit) != probe);
                if failed {
                    self.go(State::Open);
                } else {
                    self.successes += 1;
                    if self.successes >= SUCCESSES_MIN {
                        self.go(State::Closed);
                        self.closed_again = true;
                    }
                }
                self.lapsed_one_counted |= !is_valid && self.generation != before;
            }
        }
        self.old_one_counted |= generation != before && self.generation != before;
    }
}

impl Model for Callers {
    type State = Breaker;
    type Action = Action;

    fn init_states(&self) -> Vec<Breaker> {
        vec![Breaker {
            replicas: vec![Replica::Idle; REPLICAS],
            state: State::Closed,
            generation: 0,
            streak: 0,
            successes: 0,
            permits: Vec::new(),
            given: 0,
            crashes: 0,
            crashed_with_a_permit: false,
            old_one_counted: false,
            lapsed_one_counted: false,
            closed_again: false,
            probed_after_crash: false,
        }]
    }

    fn actions(&self, breaker: &Breaker, actions: &mut Vec<Action>) {
        for (r, replica) in breaker.replicas.iter().enumerate() {
            match replica {
                Replica::Idle => actions.push(Action::Ask(r)),
                Replica::Calls { .. } => {
                    actions.extend([Action::Succeed(r), Action::Fail(r)]);
                    if breaker.crashes < CRASHES_MAX {
                        actions.push(Action::Crash(r));
                    }
                }
            }
        }
        if breaker.state == State::Open {
            actions.push(Action::TimeOver);
        }
        if self.lapse {
            actions.extend(breaker.permits.iter().map(|permit| Action::Lapse(*permit)));
        }
    }

    fn next_state(&self, before: &Breaker, action: Action) -> Option<Breaker> {
        let mut breaker = before.clone();
        match action {
            Action::Ask(r) => {
                if !breaker.ask(self, r) {
                    return None;
                }
            }
            Action::Succeed(r) | Action::Fail(r) => {
                let Replica::Calls { generation, probe } = breaker.replicas[r] else { return None };
                breaker.report(self, generation, probe, matches!(action, Action::Fail(_)));
                breaker.replicas[r] = Replica::Idle;
            }
            Action::Crash(r) => {
                breaker.crashes += 1;
                breaker.crashed_with_a_permit |= matches!(breaker.replicas[r], Replica::Calls { probe: Some(probe), .. } if breaker.permits == [probe]);
                breaker.replicas[r] = Replica::Idle;
            }
            Action::TimeOver => breaker.go(State::HalfOpen),
            Action::Lapse(permit) => breaker.permits.retain(|other| *other != permit),
        }
        breaker.replicas.sort_unstable();
        Some(breaker)
    }

    fn within_boundary(&self, breaker: &Breaker) -> bool {
        breaker.generation <= GENERATIONS_MAX
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(FEW_PROBES, |_, breaker: &Breaker| breaker.permits.len() <= PROBES_MAX),
            Property::always(OLD_ONES_COUNT_NOT, |_, breaker: &Breaker| !breaker.old_one_counted),
            Property::always(LAPSED_ONES_COUNT_NOT, |_, breaker: &Breaker| !breaker.lapsed_one_counted),
            // Every permit is held by somebody who may report it, or may lapse.
            Property::always(NEVER_STUCK, |model, breaker: &Breaker| {
                let is_held = |permit: &u8| {
                    breaker
                        .replicas
                        .iter()
                        .any(|it| matches!(it, Replica::Calls { probe: Some(probe), .. } if probe == permit))
                };
                model.lapse || breaker.permits.iter().all(is_held)
            }),
            Property::sometimes(IT_CLOSES, |_, breaker: &Breaker| breaker.closed_again),
            Property::sometimes(A_CRASH_IS_FOLLOWED, |_, breaker: &Breaker| breaker.probed_after_crash),
        ]
    }
}

const WHOLE: Callers = Callers { generation_check: true, lapse: true, places_check: true };

#[test]
fn the_breaker_protocol_holds_for_three_replicas() {
    let checked = WHOLE.checker().spawn_bfs().join();
    eprintln!("{} states", checked.unique_state_count());
    checked.assert_properties();
}

#[test]
fn without_the_generation_a_late_report_moves_the_breaker() {
    must_break(&Callers { generation_check: false, ..WHOLE }, OLD_ONES_COUNT_NOT);
    must_break(&Callers { generation_check: false, ..WHOLE }, LAPSED_ONES_COUNT_NOT);
}

#[test]
fn without_a_count_of_permits_too_many_probe() {
    must_break(&Callers { places_check: false, ..WHOLE }, FEW_PROBES);
}

#[test]
fn without_deadlines_a_crash_leaves_the_breaker_half_open_for_ever() {
    must_break(&Callers { lapse: false, ..WHOLE }, NEVER_STUCK);
}

fn must_break(model: &Callers, property: &'static str) {
    let found = HasDiscoveries::AnyOf([property].into());
    model.clone().checker().finish_when(found).spawn_bfs().join().assert_any_discovery(property);
}
