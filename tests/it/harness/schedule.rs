//! What goes wrong when: made of a seed and a length alone, so a seed names its schedule.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::pool::RUNNERS;
use super::proxy::Way;
use crate::standin::{Fault, Method, Mischief};

/// How many replicas there are.
pub(crate) const REPLICAS: usize = 3;

/// How much a Redis that was killed has lost when it is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing.
    Nothing,
    /// What it wrote in the last moments, as after a power failure without a sync at each write.
    LastMoment,
    /// Everything.
    Everything,
}

/// What goes wrong with one call of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    Slow(u64),
    SlowReply(u64),
    Status(u16),
    RateLimited,
    HtmlPage,
    EmptyBody,
    ReplyLost,
    Unreachable,
    LostDispatch,
}

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    ReplicaKilled(usize),
    /// All of them at once, while dispatches are made, which is slow for that.
    AllKilledAtWork,
    ReplicaStopped(usize),
    LeaderStopped,
    /// Killed amid its calls to the provider, which are slow for that.
    LeaderKilledAtWork,
    ReplicaCutOff(usize),
    ReplicaHanging(usize),
    RedisKilled(Loss),
    RedisStopped,
    RedisSlow(u64),
    RedisFull,
    DiskFull,
    ScriptsForgotten,
    Fsync(&'static str),
    Provider(Method, Failing),
    WorkerKilled,
    AgentKilled,
    Webhooks(Mischief),
    /// Neither webhooks nor reports of agents arrive.
    DoorClosed,
    RunnerKilled(usize),
    RunnerStopped(usize),
    /// Runners do not reach the replicas.
    RunnersDoor(Way),
    /// Of those that there are, the so-and-so-many-th.
    PoolWorkerKilled(usize),
    /// Until all is mended.
    PoolWorkerHangs(usize),
}

/// When, for how long, what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) trouble: Trouble,
}

/// A seed's troubles, in three lanes: the machines', the provider's, and the pool's.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) fsync: &'static str,
    pub(crate) lanes: [Vec<Step>; 3],
}

impl Trouble {
    /// Whether it may let a second agent come to pass, which the house then removes: a maker that was lost or
    /// held up cannot take back what it asked for, and a call that is carried out late makes one late.
    pub(crate) fn allows_overlap(self) -> bool {
        match self {
            // An agent that is sent away stays until it hears of it; one whose report is not heard lives on.
            Self::DoorClosed
            | Self::ReplicaKilled(_)
            | Self::AllKilledAtWork
            | Self::ReplicaStopped(_)
            | Self::LeaderStopped
            | Self::LeaderKilledAtWork
            | Self::ReplicaCutOff(_)
            | Self::ReplicaHanging(_)
            | Self::RedisKilled(_)
            | Self::RedisStopped
            | Self::RedisSlow(_) => true,
            Self::Provider(_, failing) => {
                matches!(failing, Failing::Slow(_) | Failing::SlowReply(_) | Failing::ReplyLost)
            }
            Self::RedisFull
            | Self::DiskFull
            | Self::ScriptsForgotten
            | Self::Fsync(_)
            | Self::WorkerKilled
            | Self::AgentKilled
            | Self::Webhooks(_)
            | Self::RunnerKilled(_)
            | Self::RunnerStopped(_)
            | Self::RunnersDoor(_)
            | Self::PoolWorkerKilled(_)
            | Self::PoolWorkerHangs(_) => false,
        }
    }

    /// Whether it concerns the pool alone.
    pub(crate) fn is_of_pool(self) -> bool {
        matches!(
            self,
            Self::RunnerKilled(_)
                | Self::RunnerStopped(_)
                | Self::RunnersDoor(_)
                | Self::PoolWorkerKilled(_)
                | Self::PoolWorkerHangs(_)
        )
    }

    /// Whether Redis may come back as an older copy of itself.
    pub(crate) fn loses(self) -> bool {
        matches!(self, Self::RedisKilled(Loss::LastMoment | Loss::Everything))
    }

    /// Whether it is Redis itself that is away for a while.
    pub(crate) fn is_redis_away(self) -> bool {
        matches!(self, Self::RedisKilled(_) | Self::RedisStopped)
    }
}

impl Failing {
    /// The stand-in's fault.
    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::Slow(ms) => Fault::slow(Duration::from_millis(ms)),
            Self::SlowReply(ms) => Fault::slow_reply(Duration::from_millis(ms)),
            Self::Status(status) => Fault::status(status),
            Self::RateLimited => Fault::rate_limited(1),
            Self::HtmlPage => Fault::html_page(),
            Self::EmptyBody => Fault::empty_body(),
            Self::ReplyLost => Fault::done_but_reply_lost(),
            Self::Unreachable => Fault::unreachable(),
            Self::LostDispatch => Fault::lost_dispatch(),
        }
    }
}

impl Schedule {
    /// The schedule of a seed.
    pub(crate) fn of(seed: u64, length: Duration) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let fsync = pick(&mut dice, &["always", "everysec", "no"]);
        let machines = lane(&mut dice, length, of_machines);
        let provider = lane(&mut dice, length, of_provider);
        Self { fsync, lanes: [machines, provider, lane(&mut dice, length, of_pool)] }
    }

    /// All troubles.
    pub(crate) fn troubles(&self) -> impl Iterator<Item = Trouble> {
        self.lanes.iter().flatten().map(|step| step.trouble)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "appendfsync {}", self.fsync)?;
        let mut steps: Vec<_> = self.lanes.iter().flatten().collect();
        steps.sort_by_key(|step| step.at);
        for Step { at, lasts, trouble } in steps {
            writeln!(f, "  {:>6} ms for {:>5} ms  {trouble:?}", at.as_millis(), lasts.as_millis())?;
        }
        Ok(())
    }
}

fn pick<T: Copy>(dice: &mut StdRng, of: &[T]) -> T {
    of[dice.random_range(0..of.len())]
}

/// One trouble after the other until the time is over.
fn lane(dice: &mut StdRng, length: Duration, mut one: impl FnMut(&mut StdRng) -> Trouble) -> Vec<Step> {
    let (mut steps, mut at) = (Vec::new(), Duration::from_millis(dice.random_range(300..1500)));
    loop {
        let trouble = one(dice);
        let lasts = match trouble {
            // Three leases.
            Trouble::LeaderStopped => Duration::from_millis(4500),
            Trouble::AgentKilled | Trouble::Fsync(_) | Trouble::PoolWorkerKilled(_) | Trouble::PoolWorkerHangs(_) => {
                Duration::ZERO
            }
            // Now and then for longer than a runner is believed.
            Trouble::RunnerStopped(_) | Trouble::RedisStopped => Duration::from_millis(dice.random_range(200..5000)),
            _ => Duration::from_millis(dice.random_range(200..3000)),
        };
        if at + lasts > length {
            return steps;
        }
        steps.push(Step { at, lasts, trouble });
        at += lasts + Duration::from_millis(dice.random_range(200..1500));
    }
}

fn of_machines(dice: &mut StdRng) -> Trouble {
    let replica = dice.random_range(0..REPLICAS);
    match dice.random_range(0..19) {
        0 | 1 => Trouble::ReplicaKilled(replica),
        2 => Trouble::ReplicaStopped(replica),
        3 => Trouble::LeaderStopped,
        4 => Trouble::ReplicaCutOff(replica),
        5 => Trouble::ReplicaHanging(replica),
        6 => Trouble::RedisKilled(Loss::Nothing),
        7 => Trouble::RedisKilled(Loss::LastMoment),
        8 => Trouble::RedisKilled(Loss::Everything),
        9 | 10 => Trouble::RedisStopped,
        11 => Trouble::RedisSlow(dice.random_range(5..250)),
        12 => Trouble::RedisFull,
        13 => Trouble::ScriptsForgotten,
        14 | 15 => Trouble::LeaderKilledAtWork,
        16 => Trouble::AllKilledAtWork,
        17 => Trouble::DiskFull,
        _ => Trouble::Fsync(pick(dice, &["always", "everysec", "no"])),
    }
}

fn of_provider(dice: &mut StdRng) -> Trouble {
    match dice.random_range(0..10) {
        0..=4 => {
            let method = pick(
                dice,
                &[
                    Method::CreateDispatch,
                    Method::CreateDispatch,
                    Method::DeleteDispatch,
                    Method::ListDispatch,
                    Method::ListParticipants,
                    Method::ListRooms,
                    Method::CreateRoom,
                ],
            );
            Trouble::Provider(method, failing(dice, method))
        }
        5 => Trouble::WorkerKilled,
        6 => Trouble::AgentKilled,
        7 | 8 => Trouble::Webhooks(pick(
            dice,
            &[Mischief::DropAll, Mischief::TripleEach, Mischief::ReversePairs, Mischief::HoldAll],
        )),
        _ => Trouble::DoorClosed,
    }
}

fn of_pool(dice: &mut StdRng) -> Trouble {
    let (runner, worker) = (dice.random_range(0..RUNNERS), dice.random_range(0..100));
    match dice.random_range(0..8) {
        0 | 1 => Trouble::RunnerKilled(runner),
        2 => Trouble::RunnerStopped(runner),
        3 => Trouble::RunnersDoor(pick(dice, &[Way::Cut, Way::Hanging])),
        4 => Trouble::PoolWorkerHangs(worker),
        _ => Trouble::PoolWorkerKilled(worker),
    }
}

fn failing(dice: &mut StdRng, method: Method) -> Failing {
    match dice.random_range(0..10) {
        0 => Failing::Slow(dice.random_range(100..4000)),
        1 => Failing::SlowReply(dice.random_range(100..4000)),
        2 => Failing::Status(pick(dice, &[500, 503])),
        3 => Failing::RateLimited,
        4 => Failing::HtmlPage,
        5 => Failing::EmptyBody,
        6 => Failing::Unreachable,
        7 if method == Method::CreateDispatch => Failing::LostDispatch,
        _ => Failing::ReplyLost,
    }
}
