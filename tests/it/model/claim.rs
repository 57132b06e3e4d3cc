//! The one claim: making, checking and ending a dispatch by replicas that crash, stall and miss replies, at a
//! provider whose create is not idempotent.
//!
//! ```text
//!                        ┌──────────── claim lapsed: taken by another, token + 1 ───────────┐
//!                        ▼                                                                  │
//! none ── Ask ──▶ making [create] ── Commit ──▶ serving ── Take ──▶ serving [check] ────────┤
//!   ▲                │        ▲                  │  ▲  ▲                 │   │              │
//!   │             GiveUp      └─ Take, Ask ──────┘  │  └──── Well ───────┘   │              │
//!   │                ▼          (unwell: buried)    └─ Commit ─ [redispatch] ◀┘ Redispatch  │
//!   │             failed ── Take ──▶ failed [end] ──┐                                       │
//!   └──────────────── Ended ◀───────────────────────┴── ending [end] ◀── End, Conclude(End) ┘
//! ```
//!
//! In brackets: the kind of the claim. Each action is one step of the code; a change there has to change it here.
//!
//! | here | code |
//! |---|---|
//! | `Ask` | `dispatch/acquire.lua`; waiting is a question that is asked later |
//! | `Take` | `reap/provider.lua`, by whoever believes to lead: that needs no lock |
//! | `End` | `dispatch/end.lua` |
//! | `FindAgain` | `Core::find_again` of the reconciler: a claim by `dispatch/acquire.lua` under which nothing is made |
//! | `Next` at `Look` | `Provider::look`, in `Making::try_once`, `Core::adopt`, `Core::check`, `Core::delete_all`, `Making::remove_own` |
//! | `Adopt`, `Discard`, `Next` at `Settle` | `Making::settle_those_there`, any choice of `may_adopt`; at its end `dispatch/renew.lua` |
//! | `Next` at `Create` | `Provider::create` in `Making::try_once` |
//! | `Next` at `Commit` | `dispatch/commit.lua`; refused: `Core::undo` |
//! | `Next` at `Remove` | `Core::remove`: `dispatch/tombstone.lua`, then (`marked`) `Provider::delete` |
//! | `Conclude` | `dispatch/observe.lua`; after *well* `Core::show_out_strangers` |
//! | `Again`, `Next` at `GiveUp` | the loop of `Core::make_in_tries`; `dispatch/fail.lua`, and `Making::remove_own` where the claim is gone; `Core::let_go` |
//! | `Next` at `Ended` | `dispatch/ended.lua`, with the floor of the tokens of `forget` |
//! | `Lapse` | `claim_until` has passed: of nobody's claim at any time, of a living holder's as a fault (a pause) |
//! | `Arrive`, `ArriveDelete` | what the provider does after who asked for it had given up |
//!
//! Left out: the agents' own coming and going (a dispatch that is deleted takes its agent along), people, holds and
//! backoff (nothing but a time until a step may be taken), tombstones that are older than an hour. A replica is
//! one task here; a replica of the code is many.

mod ids;
mod steps;
mod world;

use stateright::{Checker as _, HasDiscoveries, Model, Property};

use self::steps::{Action, Rules};
use self::world::World;
use crate::support::size_of_test;

const COMMITTED_LIVES: &str = "what is committed lives at the provider";
const TOKENS_GROW: &str = "tokens of claims only grow";
const COMMITS_GROW: &str = "no commit undoes a newer one";
const ANSWERS_TRUE: &str = "who is answered gets one that lives";
const SETTLED: &str = "when nothing is left to do, the committed one is the only one";
const TWO_AT_ONCE: &str = "two at the provider, for a while";
const ALL_GONE: &str = "it ends, and nothing is left";

/// The protocol with so many replicas, faults, and rules.
#[derive(Clone, Debug)]
struct Claims {
    replicas: usize,
    faults: u8,
    rules: Rules,
}

impl Model for Claims {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.replicas, self.faults)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        steps::due(world, &self.rules, actions);
        steps::faults(world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        steps::apply(&mut next, &self.rules, action);
        next.normalise();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(COMMITTED_LIVES, |_, world: &World| world.committed().is_none_or(|id| world.live.has(id))),
            Property::always(TOKENS_GROW, |_, world: &World| !world.broken.token_went_back),
            Property::always(COMMITS_GROW, |_, world: &World| !world.broken.commit_went_back),
            Property::always(ANSWERS_TRUE, |_, world: &World| !world.broken.answer_lied),
            Property::always(SETTLED, |model: &Self, world| {
                let mut due = Vec::new();
                steps::due(world, &model.rules, &mut due);
                !due.is_empty() || world.is_settled() || world.nobody_lives()
            }),
            Property::sometimes(TWO_AT_ONCE, |_, world: &World| world.live.len() == 2),
            Property::sometimes(ALL_GONE, |_, world: &World| {
                world.entry.is_none() && world.has_ended() && world.live.is_empty()
            }),
        ]
    }
}

fn exhaust(replicas: usize, faults: u8) {
    let began = std::time::Instant::now();
    let model = Claims { replicas, faults, rules: Rules::ALL };
    let checked = model.checker().threads(2).spawn_bfs().join();
    let (states, depth) = (checked.unique_state_count(), checked.max_depth());
    eprintln!("{replicas} replicas, {faults} faults: {states} states, {depth} deep, {:?}", began.elapsed());
    checked.assert_properties();
}

/// Without the rule the property must fail: else the model, or the rule, is good for nothing.
fn must_break(rules: Rules, property: &'static str) {
    let model = Claims { replicas: 3, faults: 2, rules };
    let found = HasDiscoveries::AnyOf([property].into());
    let checked = model.checker().threads(2).finish_when(found).spawn_bfs().join();
    let path = checked.assert_any_discovery(property);
    eprintln!("{property}, broken in {} steps: {:?}", path.clone().into_actions().len(), path.into_actions());
}

#[test]
fn the_claim_protocol_holds_for_three_replicas() {
    let faults = size_of_test("GREENROOM_MODEL_FAULTS", 1);
    exhaust(3, faults.try_into().expect("a small number"));
}

#[test]
fn the_claim_protocol_holds_under_two_faults() {
    exhaust(2, 2);
}

#[test]
fn without_tombstones_the_claim_protocol_deletes_what_lives() {
    must_break(Rules { tombstones: false, ..Rules::ALL }, COMMITTED_LIVES);
}

#[test]
fn without_the_token_check_an_old_commit_undoes_a_newer_one() {
    must_break(Rules { token_check: false, ..Rules::ALL }, COMMITS_GROW);
}

#[test]
fn without_the_floor_a_token_is_given_twice() {
    must_break(Rules { token_floor: false, ..Rules::ALL }, TOKENS_GROW);
}

#[test]
fn without_a_look_for_strangers_what_came_late_stays() {
    must_break(Rules { strangers_go: false, ..Rules::ALL }, SETTLED);
}
