//! Locks of callers: whatever is paused, lapses or is lost in a fail-over, what a lock protects is not written to by who
//! was overtaken.
//!
//! ```text
//! idle ── Acquire ──▶ holds(token) ── Write ──▶ holds(token) ── Release ──▶ idle
//!                         └── LeaseEnds: the holder does not know, and goes on
//! ```
//!
//! | here | code |
//! |---|---|
//! | `Acquire` | `lock/acquire.lua`: where nobody's lease runs, with a token above every one that Redis knows, and above its floor |
//! | `Release` | `lock/release.lua`, refused unless owner and token are those of the lock |
//! | `LeaseEnds` | `lease_until` has passed |
//! | `Write` | the caller's own: what the lock protects refuses tokens below the highest that it saw |
//! | `Replicate`, `FailOver` | Redis's: a replica has what it has, and takes over; its clock may be behind |
//! | `RaiseFloor` | `shard/floor.lua`, by a replica of greenroom that has seen the highest token |

use stateright::{Checker as _, HasDiscoveries, Model, Property};

const FENCED: &str = "nobody writes after who came later has written";
const ONE_EACH: &str = "a token is one holder's";
const TWO_BELIEVE: &str = "two believe to hold it";

#[derive(Clone, Debug)]
struct Locks {
    fence: bool,
    floor: bool,
}

/// The lock as a server of Redis has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Lock {
    owner: Option<u8>,
    token: u8,
    floor: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    master: Lock,
    replica: Lock,
    /// What each owner believes to hold.
    holds: Vec<Option<u8>>,
    /// Every grant, in its order.
    given: Vec<u8>,
    /// Every write that was taken: the place of its grant among all.
    written: Vec<u8>,
    failed_over: bool,
    /// Whether greenroom has noticed that it did. Until then tokens grow by the servers' clocks, which are not here, so
    /// nothing is given.
    noticed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Acquire(u8),
    Release(u8),
    LeaseEnds,
    Write(u8),
    Replicate,
    FailOver,
    RaiseFloor,
}

const OWNERS: u8 = 3;
const GRANTS_MAX: usize = 4;
const WRITES_MAX: usize = 3;

impl World {
    /// The newest grant of that token.
    fn grant_of(&self, token: u8) -> u8 {
        let at = self.given.iter().rposition(|given| *given == token).unwrap_or_default();
        u8::try_from(at).unwrap_or(u8::MAX)
    }
}

impl Model for Locks {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let (master, holds) = (Lock::default(), vec![None; OWNERS.into()]);
        let (given, written) = (Vec::new(), Vec::new());
        vec![World { master, replica: master, holds, given, written, failed_over: false, noticed: true }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for owner in 0..OWNERS {
            let holds = world.holds[usize::from(owner)].is_some();
            if holds {
                actions.push(Action::Release(owner));
                if world.written.len() < WRITES_MAX {
                    actions.push(Action::Write(owner));
                }
            } else if world.master.owner.is_none() && world.noticed && world.given.len() < GRANTS_MAX {
                actions.push(Action::Acquire(owner));
            }
        }
        if world.master.owner.is_some() {
            actions.push(Action::LeaseEnds);
        }
        if world.replica != world.master {
            actions.push(Action::Replicate);
        }
        if !world.failed_over {
            actions.push(Action::FailOver);
        }
        if !world.noticed {
            actions.push(Action::RaiseFloor);
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Acquire(owner) => {
                let token = world.master.token.max(world.master.floor) + 1;
                world.master = Lock { owner: Some(owner), token, ..world.master };
                world.holds[usize::from(owner)] = Some(token);
                world.given.push(token);
            }
            Action::Release(owner) => {
                let token = world.holds[usize::from(owner)].take();
                if world.master.owner == Some(owner) && Some(world.master.token) == token {
                    world.master.owner = None;
                }
            }
            Action::LeaseEnds => world.master.owner = None,
            Action::Write(owner) => {
                let token = world.holds[usize::from(owner)]?;
                let highest = world.written.iter().map(|grant| world.given[usize::from(*grant)]).max();
                if self.fence && highest > Some(token) {
                    return None;
                }
                world.written.push(world.grant_of(token));
            }
            Action::Replicate => world.replica = world.master,
            Action::FailOver => {
                world.master = world.replica;
                (world.failed_over, world.noticed) = (true, !self.floor);
            }
            Action::RaiseFloor => {
                world.master.floor = world.given.iter().copied().max().unwrap_or_default();
                world.noticed = true;
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(FENCED, |_, world: &World| world.written.is_sorted()),
            Property::always(ONE_EACH, |_, world: &World| world.given.is_sorted_by(|a, b| a < b)),
            Property::sometimes(TWO_BELIEVE, |_, world: &World| {
                world.holds.iter().filter(|holds| holds.is_some()).count() == 2
            }),
        ]
    }
}

#[test]
fn what_a_lock_protects_is_not_written_to_by_who_was_overtaken() {
    let checked = Locks { fence: true, floor: true }.checker().spawn_bfs().join();
    eprintln!("{} states", checked.unique_state_count());
    checked.assert_properties();
}

#[test]
fn without_the_fence_a_paused_holder_writes_after_the_next() {
    must_break(&Locks { fence: false, floor: true }, FENCED);
}

#[test]
fn without_the_floor_a_fail_over_gives_a_token_of_a_lock_twice() {
    must_break(&Locks { fence: true, floor: false }, ONE_EACH);
}

fn must_break(model: &Locks, property: &'static str) {
    let found = HasDiscoveries::AnyOf([property].into());
    model.clone().checker().finish_when(found).spawn_bfs().join().assert_any_discovery(property);
}
