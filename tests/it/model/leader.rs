//! Leaders: two at once do no harm.
//!
//! ```text
//! follower ── Campaign ──▶ elected(term) ── Begin ──▶ leads(term) ── Reap ──▶ works(token) ── Finish ──▶ leads(term)
//!     ▲                        │ term is over            │ term is over
//!     └────────────────────────┴─────────────────────────┘
//! ```
//!
//! | here | code |
//! |---|---|
//! | `Campaign` | `lock/acquire.lua` on `gr:{0}:leader`: where nobody's lease runs, with a token, the term, above every one before |
//! | `LeaseEnds` | `lease_until` of the lock has passed: the one who led may not know it yet |
//! | `Begin` | `leader/begin.lua`, refused where a newer leader has begun |
//! | `Reap` | `reap/provider.lua`: the check of the term, then the claim |
//! | `Finish` | `dispatch/ended.lua`, or any other script that ends a claim by its token |
//! | `ClaimEnds` | `claim_until` has passed |
//!
//! A replica that stalls needs no action of its own: any may take its next step as late as it likes.

use stateright::{Checker as _, HasDiscoveries, Model, Property};

const ONE_FINISHES: &str = "what is claimed is finished once, by its last holder";
const OLD_ONES_STOP: &str = "after a newer leader has begun, an older one claims nothing";
const TWO_LEAD: &str = "two believe to lead";

#[derive(Clone, Debug)]
struct Leaders {
    term_check: bool,
    token_check: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Step {
    Follows,
    Elected(u8),
    Leads(u8),
    Works { term: u8, token: u8 },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Shard {
    steps: Vec<Step>,
    /// `gr:{0}:leader`
    owned: bool,
    term: u8,
    /// `term` of the shard.
    begun: u8,
    /// The one dispatch that is due: its token, and whether a claim of it runs.
    token: u8,
    claimed: bool,
    finished: Vec<u8>,
    old_one_claimed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Campaign(usize),
    LeaseEnds,
    Begin(usize),
    Reap(usize),
    Finish(usize),
    ClaimEnds,
}

const REPLICAS: usize = 3;
const TERMS_MAX: u8 = 3;
const TOKENS_MAX: u8 = 4;

impl Model for Leaders {
    type State = Shard;
    type Action = Action;

    fn init_states(&self) -> Vec<Shard> {
        let steps = vec![Step::Follows; REPLICAS];
        let (owned, claimed, old_one_claimed) = (false, false, false);
        vec![Shard { steps, owned, term: 0, begun: 0, token: 0, claimed, finished: Vec::new(), old_one_claimed }]
    }

    fn actions(&self, shard: &Shard, actions: &mut Vec<Action>) {
        for (r, step) in shard.steps.iter().enumerate() {
            match step {
                Step::Follows if !shard.owned && shard.term < TERMS_MAX => actions.push(Action::Campaign(r)),
                Step::Elected(_) => actions.push(Action::Begin(r)),
                Step::Leads(_) if shard.finished.is_empty() => actions.push(Action::Reap(r)),
                Step::Works { .. } => actions.push(Action::Finish(r)),
                Step::Follows | Step::Leads(_) => {}
            }
        }
        if shard.owned {
            actions.push(Action::LeaseEnds);
        }
        if shard.claimed {
            actions.push(Action::ClaimEnds);
        }
    }

    fn next_state(&self, before: &Shard, action: Action) -> Option<Shard> {
        let mut shard = before.clone();
        match action {
            Action::Campaign(r) => {
                shard.term += 1;
                shard.owned = true;
                shard.steps[r] = Step::Elected(shard.term);
            }
            Action::LeaseEnds => shard.owned = false,
            Action::ClaimEnds => shard.claimed = false,
            Action::Begin(r) => {
                let Step::Elected(term) = shard.steps[r] else { return None };
                shard.steps[r] = if term < shard.begun { Step::Follows } else { Step::Leads(term) };
                shard.begun = shard.begun.max(term);
            }
            Action::Reap(r) => {
                let Step::Leads(term) = shard.steps[r] else { return None };
                if self.term_check && term < shard.begun {
                    shard.steps[r] = Step::Follows;
                } else if shard.claimed || shard.token == TOKENS_MAX {
                    return None;
                } else {
                    shard.old_one_claimed |= term < shard.begun;
                    shard.token += 1;
                    shard.claimed = true;
                    shard.steps[r] = Step::Works { term, token: shard.token };
                }
            }
            Action::Finish(r) => {
                let Step::Works { term, token } = shard.steps[r] else { return None };
                if !self.token_check || (token == shard.token && shard.finished.is_empty()) {
                    shard.finished.push(token);
                    shard.claimed = false;
                }
                shard.steps[r] = Step::Leads(term);
            }
        }
        shard.steps.sort_unstable();
        Some(shard)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_FINISHES, |_, shard: &Shard| {
                shard.finished.is_empty() || shard.finished == [shard.token]
            }),
            Property::always(OLD_ONES_STOP, |_, shard: &Shard| !shard.old_one_claimed),
            Property::sometimes(TWO_LEAD, |_, shard: &Shard| {
                shard.steps.iter().filter(|step| matches!(step, Step::Leads(_) | Step::Works { .. })).count() == 2
            }),
        ]
    }
}

#[test]
fn two_leaders_at_once_do_no_harm() {
    let checked = Leaders { term_check: true, token_check: true }.checker().spawn_bfs().join();
    eprintln!("{} states", checked.unique_state_count());
    checked.assert_properties();
}

#[test]
fn without_the_check_of_the_term_an_old_leader_goes_on() {
    must_break(&Leaders { term_check: false, token_check: true }, OLD_ONES_STOP);
}

#[test]
fn without_the_token_two_leaders_finish_one_thing() {
    must_break(&Leaders { term_check: true, token_check: false }, ONE_FINISHES);
}

fn must_break(model: &Leaders, property: &'static str) {
    let found = HasDiscoveries::AnyOf([property].into());
    model.clone().checker().finish_when(found).spawn_bfs().join().assert_any_discovery(property);
}
