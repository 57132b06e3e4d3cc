//! The steps that the model test of pools chooses from, and how often each.

use greenroom::pool::{Affinity, Priority};
use proptest::prelude::*;

/// One step. Small numbers choose among what there is, the newest first, modulo how many there are.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Ask {
        session: Option<u8>,
        /// The session is a key's.
        keyed: bool,
        waits: bool,
        affinity: Affinity,
        priority: Priority,
    },
    Confirm {
        lease: usize,
    },
    Renew {
        lease: usize,
        stale: bool,
    },
    Release {
        lease: usize,
        token: bool,
    },
    Pass {
        ms: u64,
    },
    /// The runner does what it is told, all well.
    Obey {
        runner: usize,
    },
    /// It tells what it has, and does nothing.
    Hear {
        runner: usize,
    },
    /// It fails at what it is told.
    Fail {
        runner: usize,
    },
    /// One of its workers dies.
    Die {
        runner: usize,
        worker: usize,
    },
    /// One of its workers fails so many checks in a row.
    Sicken {
        runner: usize,
        worker: usize,
        failures: u32,
    },
    /// It comes back, and has nothing.
    Restart {
        runner: usize,
    },
    /// It is on its way out, or no longer.
    Leave {
        runner: usize,
    },
    Plan,
    Mark {
        worker: usize,
        mark: &'static str,
    },
    /// The leader looks at what is due.
    Reap,
    Define {
        spare: u32,
        max: u32,
        confirm: bool,
        fresh: bool,
        version: u8,
        draining: bool,
    },
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let newest = || prop_oneof![3 => Just(0_usize), 2 => 0..6_usize];
    let runner = || prop_oneof![3 => Just(0_usize), 1 => Just(1_usize)];
    let affinity = prop_oneof![2 => Just(Affinity::Hint), 1 => Just(Affinity::Queue), 1 => Just(Affinity::Fail)];
    let priority = prop_oneof![3 => Just(Priority::Normal), 1 => Just(Priority::Low), 1 => Just(Priority::Urgent)];
    let mark = prop_oneof![Just("cordon"), Just("uncordon"), Just("drain"), Just("recycle")];
    prop_oneof![
        6 => (prop::option::of(0..3_u8), any::<bool>(), prop::bool::weighted(0.8), affinity, priority)
            .prop_map(|(session, keyed, waits, affinity, priority)| {
                Op::Ask { session, keyed, waits, affinity, priority }
            }),
        5 => newest().prop_map(|lease| Op::Confirm { lease }),
        1 => (newest(), prop::bool::weighted(0.2)).prop_map(|(lease, stale)| Op::Renew { lease, stale }),
        3 => (newest(), prop::bool::weighted(0.8)).prop_map(|(lease, token)| Op::Release { lease, token }),
        4 => prop_oneof![Just(1_u64), 1..3_000_u64, Just(2_501), Just(5_001), Just(14_000), Just(60_001)]
            .prop_map(|ms| Op::Pass { ms }),
        9 => runner().prop_map(|runner| Op::Obey { runner }),
        2 => runner().prop_map(|runner| Op::Hear { runner }),
        2 => runner().prop_map(|runner| Op::Fail { runner }),
        1 => (runner(), newest()).prop_map(|(runner, worker)| Op::Die { runner, worker }),
        1 => (runner(), newest(), 0..4_u32)
            .prop_map(|(runner, worker, failures)| Op::Sicken { runner, worker, failures }),
        1 => runner().prop_map(|runner| Op::Restart { runner }),
        1 => runner().prop_map(|runner| Op::Leave { runner }),
        4 => Just(Op::Plan),
        2 => (newest(), mark).prop_map(|(worker, mark)| Op::Mark { worker, mark }),
        4 => Just(Op::Reap),
        1 => (0..3_u32, 1..5_u32, any::<bool>(), prop::bool::weighted(0.2), 1..3_u8, prop::bool::weighted(0.2))
            .prop_map(|(spare, max, confirm, fresh, version, draining)| {
                Op::Define { spare, max, confirm, fresh, version, draining }
            }),
    ]
}

/// The element that a small number chooses: the newest first.
pub(super) fn pick<T: Clone>(all: &[T], n: usize) -> Option<T> {
    (!all.is_empty()).then(|| all[all.len() - 1 - n % all.len()].clone())
}
