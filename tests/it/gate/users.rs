//! Who takes part where locks and breakers are played: owners of locks, callers of the provider through its breaker,
//! callers of something else through theirs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use greenroom::breaker::{Outcome, Rules, Run, Verdict};
use greenroom::lock::LockError;
use greenroom::name::Name;
use greenroom::provider::ProviderError;
use greenroom::store::{Asked, Hints, Report, Wanted};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::cast::{ROOM, Replica};

/// A breaker that opens soon, and lets few probes through for a short time.
pub(super) const RULES: Rules = Rules {
    failures_max: 2,
    failure_percent: 0,
    slow_percent: 0,
    slow_ms: 60_000,
    calls_min: 1,
    window_ms: 10_000,
    open_ms: 1_000,
    open_ms_max: 2_000,
    probes_max: 2,
    probe_ms: 1_500,
    successes_min: 2,
};
const OWNERS: usize = 4;
const TURNS: usize = 3;
const CALLERS: usize = 4;
const CALLS: usize = 6;

fn name(name: &str) -> Name {
    Name::strict(name).expect("a name")
}

fn millis(rng: &mut StdRng, most: u64) -> Duration {
    Duration::from_millis(rng.random_range(0..most))
}

impl Replica {
    /// Takes a lock, turn after turn, each time as another owner, until it has it: pauses with it, keeps it, gives it
    /// back or does not, and may go on when it is long over.
    async fn own(self, owner: usize, mut rng: StdRng) {
        let (tenant, lock) = (Name::default_tenant(), name("turn"));
        for turn in 0..TURNS {
            sleep(millis(&mut rng, 800)).await;
            let owner = format!("owner-{owner}.{turn}");
            let (lease, wait) = (Duration::from_millis(rng.random_range(500..2500)), millis(&mut rng, 3000));
            let hold = loop {
                match self.locks.acquire(&tenant, &lock, &owner, lease, wait).await {
                    Ok(held) => break held.hold,
                    // Where it is unknown, it is asked for again.
                    Err(_) => sleep(Duration::from_millis(200)).await,
                }
            };
            sleep(millis(&mut rng, 1500)).await;
            if rng.random_bool(0.6) {
                let _ = self.locks.renew(&hold, lease).await;
                sleep(millis(&mut rng, 1500)).await;
            }
            if rng.random_bool(0.7) {
                let _ = self.locks.release(&hold).await;
            }
            if rng.random_bool(0.4) {
                let _ = self.locks.renew(&hold, lease).await;
            }
        }
    }

    /// Calls the provider through the breaker of its looks.
    async fn call_the_provider(self, mut rng: StdRng) {
        for _ in 0..CALLS {
            sleep(millis(&mut rng, 600)).await;
            self.look_once().await;
        }
    }

    async fn look_once(&self) {
        let guard = &self.dispatches.breakers()[0];
        let _ = guard.call(ProviderError::is_outage, self.provider.look(ROOM, "guide", false)).await;
    }

    /// Calls something that fails when the provider does; may be slow, and may never tell how it went.
    async fn call_another(self, caller: usize, mut rng: StdRng) {
        for n in 0..CALLS {
            sleep(millis(&mut rng, 600)).await;
            let (is_slow, is_silent) = (rng.random_bool(0.3), rng.random_bool(0.15));
            let takes = millis(&mut rng, if is_slow { 3000 } else { 300 });
            self.call_another_once(&format!("{caller}-{n}"), takes, is_silent).await;
        }
    }

    async fn call_another_once(&self, permit: &str, takes: Duration, is_silent: bool) {
        let (tenant, breaker) = (Name::default_tenant(), name("payments"));
        let asked = |rules| Asked { tenant: &tenant, name: &breaker, rules, once: None };
        let Ok(answer) = self.store.breaker_permit(asked(Wanted::OwnOr(&RULES)), permit, 100).await else { return };
        if answer.verdict == Verdict::Refused {
            return;
        }
        let failed = self.book.failing.load(Ordering::SeqCst);
        sleep(takes).await;
        if !is_silent {
            let runs = [Run { calls: 1, outcome: Outcome { failed, slow: false } }];
            let report =
                Report { generation: answer.generation, permit: Some(permit), runs: &runs, ..Report::default() };
            let _ = self.store.breaker_report(asked(Wanted::Own), &report).await;
        }
    }

    /// With everything well, and nobody else there: the lock is to be had, and what is called is called again.
    pub(super) async fn find_all_well(self) -> Result<(), String> {
        let (tenant, lock, lease) = (Name::default_tenant(), name("turn"), Duration::from_secs(1));
        match self.locks.acquire(&tenant, &lock, "the last one", lease, Duration::from_secs(10)).await {
            Ok(_) => {}
            Err(LockError::Busy { owner, .. }) => return Err(format!("{owner} has the lock for ever")),
            Err(error) => return Err(error.to_string()),
        }
        for n in 0..30 {
            sleep(Duration::from_secs(1)).await;
            self.look_once().await;
            self.call_another_once(&format!("last-{n}"), Duration::ZERO, false).await;
        }
        Ok(())
    }
}

/// Everybody, at work; those who never finish by themselves are not told of.
pub(super) fn set_out(replicas: &[Replica], rng: &mut StdRng) -> Vec<(usize, JoinHandle<()>)> {
    let mut handles = Vec::new();
    for replica in replicas {
        for guard in replica.dispatches.breakers().into_iter().take(1) {
            tokio::spawn(guard.keep(Hints::default(), CancellationToken::new()));
        }
    }
    for n in 0..OWNERS.max(CALLERS) {
        let mut own = || (rng.random_range(0..replicas.len()), StdRng::seed_from_u64(rng.random()));
        if n < OWNERS {
            let (actor, dice) = own();
            handles.push((actor, tokio::spawn(replicas[actor].clone().own(n, dice))));
        }
        if n < CALLERS {
            let (actor, dice) = own();
            handles.push((actor, tokio::spawn(replicas[actor].clone().call_the_provider(dice))));
            let (actor, dice) = own();
            handles.push((actor, tokio::spawn(replicas[actor].clone().call_another(n, dice))));
        }
    }
    handles
}
