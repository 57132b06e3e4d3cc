//! The steps that the model test chooses from, and how often each.

use proptest::prelude::*;

/// One step. Small numbers choose among what there is, the newest first, modulo how many there are.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Acquire {
        agent: usize,
    },
    Commit {
        held: usize,
        adopted: bool,
    },
    Fail {
        held: usize,
        unsure: bool,
    },
    Renew {
        held: usize,
    },
    Observe {
        held: usize,
        here: bool,
        room: bool,
        people: u8,
        wanted: bool,
    },
    Ended {
        held: usize,
    },
    End {
        agent: usize,
    },
    Report {
        made: usize,
        session: u8,
    },
    Touch {
        agent: usize,
        change: u8,
    },
    Joined {
        sid: u8,
        late: bool,
    },
    Left {
        sid: u8,
        late: bool,
    },
    Look,
    Tombstone {
        made: usize,
    },
    Reap,
    /// What is due is claimed, and done at once.
    Round {
        here: bool,
        room: bool,
        people: u8,
        adopted: bool,
    },
    Scan,
    Forget,
    Pass {
        ms: u64,
    },
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let held = || prop_oneof![4 => Just(0_usize), 1 => 0..6_usize];
    prop_oneof![
        5 => (0..2_usize).prop_map(|agent| Op::Acquire { agent }),
        6 => (held(), any::<bool>()).prop_map(|(held, adopted)| Op::Commit { held, adopted }),
        1 => (held(), any::<bool>()).prop_map(|(held, unsure)| Op::Fail { held, unsure }),
        1 => held().prop_map(|held| Op::Renew { held }),
        6 => (held(), prop::bool::weighted(0.7), prop::bool::weighted(0.9), 0..8_u8, any::<bool>())
            .prop_map(|(held, here, room, people, wanted)| Op::Observe { held, here, room, people, wanted }),
        2 => held().prop_map(|held| Op::Ended { held }),
        1 => (0..2_usize).prop_map(|agent| Op::End { agent }),
        2 => (held(), 0..3_u8).prop_map(|(made, session)| Op::Report { made, session }),
        1 => (0..2_usize, 0..3_u8).prop_map(|(agent, change)| Op::Touch { agent, change }),
        3 => (0..3_u8, prop::bool::weighted(0.1)).prop_map(|(sid, late)| Op::Joined { sid, late }),
        3 => (0..3_u8, prop::bool::weighted(0.1)).prop_map(|(sid, late)| Op::Left { sid, late }),
        1 => Just(Op::Look),
        1 => held().prop_map(|made| Op::Tombstone { made }),
        3 => Just(Op::Reap),
        6 => (prop::bool::weighted(0.6), prop::bool::weighted(0.9), 0..8_u8, prop::bool::weighted(0.3))
            .prop_map(|(here, room, people, adopted)| Op::Round { here, room, people, adopted }),
        2 => Just(Op::Scan),
        1 => Just(Op::Forget),
        4 => prop_oneof![Just(0_u64), Just(1), 1..1500_u64, Just(2000), Just(4000), Just(11_000), Just(301_000)]
            .prop_map(|ms| Op::Pass { ms }),
    ]
}

/// The element that a small number chooses: the newest first.
pub(super) fn pick<T: Clone>(all: &[T], n: usize) -> Option<T> {
    (!all.is_empty()).then(|| all[all.len() - 1 - n % all.len()].clone())
}

/// The people that the bits stand for.
pub(super) fn sids(bits: u8) -> Vec<String> {
    (0..3).filter(|n| bits >> n & 1 == 1).map(|n| format!("PA_{n}")).collect()
}
