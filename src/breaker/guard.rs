//! What goes around a call: asks whether it may be made, and reports how it ended.
//!
//! ```text
//! call ── known within the last second? ── closed ──▶ go                 success ──▶ batch ── every half second ─▶ Redis
//!              │ no                          open  ──▶ refused            failure ──▶ batch, and at once ────────▶ Redis
//!              └──▶ ask Redis ── Redis is away ──▶ a machine of our own   probe ─────────────────────────────────▶ Redis
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::local::{Decision, Local};
use super::{Answer, Breaker, Outcome, Rules, Run, Verdict};
use crate::name::Name;
use crate::store::{Asked, Hints, Report, Store, StoreError, Wanted};
use crate::telemetry::Metrics;

/// How often what was counted is reported, and what is known is made new, while calls are made.
const SYNC_INTERVAL: Duration = Duration::from_millis(500);
/// So many calls are reported without waiting for that.
const BATCH_MAX: u32 = 100;
/// How long one waits for a hint before waiting anew.
const HINT_WAIT: Duration = Duration::from_hours(1);

/// One breaker, as greenroom's own calls use it. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    inner: Arc<Inner>,
}

struct Inner {
    label: &'static str,
    name: Name,
    tenant: Name,
    rules: Rules,
    jitter_max: u32,
    store: Store,
    metrics: Arc<Metrics>,
    /// Who reports: this guard, and none after a restart.
    reporter: String,
    local: Mutex<Local>,
    /// One report after another, so that they arrive in their order.
    sending: tokio::sync::Mutex<()>,
    /// A hint came: what it tells of is worth knowing before the next call.
    hinted: Notify,
}

/// The breaker does not let the call through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub breaker: &'static str,
    /// How long asking again makes no sense.
    pub retry_after: Duration,
}

/// Why a guarded call gave no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guarded<E> {
    /// It was not made.
    Refused(Refused),
    /// It was made, and failed.
    Failed(E),
}

/// The right to make one call.
#[derive(Debug)]
pub(super) struct Pass {
    /// The generation in Redis that the call belongs to.
    pub(super) generation: u64,
    /// Its permit, where it is a probe.
    pub(super) permit: Option<String>,
    /// The generation of the machine that let it through, where Redis was away.
    pub(super) alone: Option<u64>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("name", &self.inner.label).finish_non_exhaustive()
    }
}

impl Guard {
    /// The guard of the breaker that is called so, of the default tenant. `jitter_max`: by how much a time of being open
    /// is shortened at most, in thousandths, so that breakers that opened together do not probe together.
    pub fn new(label: &'static str, rules: Rules, jitter_max: u32, store: Store, metrics: Arc<Metrics>) -> Self {
        let (name, tenant) = (Name::of_code(label), Name::default_tenant());
        let (local, sending, hinted) = (Mutex::default(), tokio::sync::Mutex::default(), Notify::new());
        let reporter = Uuid::now_v7().simple().to_string();
        let inner = Inner { label, name, tenant, rules, jitter_max, store, metrics, reporter, local, sending, hinted };
        Self { inner: Arc::new(inner) }
    }

    /// The breaker's name.
    pub fn name(&self) -> &Name {
        &self.inner.name
    }

    /// Its rules.
    pub fn rules(&self) -> &Rules {
        &self.inner.rules
    }

    /// Makes the call, if it may be made, and counts how it ended. A call that is dropped is not counted; its permit,
    /// where it was a probe, lapses.
    pub async fn call<T, E>(
        &self,
        is_failure: impl FnOnce(&E) -> bool,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Guarded<E>> {
        let pass = self.admit().await.map_err(Guarded::Refused)?;
        let began = Instant::now();
        let answer = call.await;
        let failed = answer.as_ref().err().is_some_and(is_failure);
        self.report(pass, failed, began.elapsed()).await;
        answer.map_err(Guarded::Failed)
    }

    /// The same; where the call is not made or fails, `fallback` says what comes of it.
    pub async fn call_or<T, E>(
        &self,
        is_failure: impl FnOnce(&E) -> bool,
        call: impl Future<Output = Result<T, E>>,
        fallback: impl FnOnce(Guarded<E>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.call(is_failure, call).await.or_else(fallback)
    }

    /// What this replica goes by, where Redis is away.
    pub fn alone(&self) -> Option<Breaker> {
        self.local().alone_status(&self.inner.name, Instant::now())
    }

    /// Keeps what is known new and reports what was counted, until `stop`.
    pub async fn keep(self, hints: Hints, stop: CancellationToken) {
        let _ =
            stop.run_until_cancelled(async { tokio::join!(self.listen(&hints), self.sync_again_and_again()) }).await;
        self.flush(false).await;
    }

    async fn listen(&self, hints: &Hints) {
        let name = Store::breaker_hint_name(&self.inner.tenant, &self.inner.name);
        let mut hint = Box::pin(hints.wait(&name, HINT_WAIT));
        loop {
            hint.await;
            // Whatever comes from now on is heard; what came before, the next question finds.
            hint = Box::pin(hints.wait(&name, HINT_WAIT));
            self.local().forget();
            self.inner.hinted.notify_one();
        }
    }

    async fn sync_again_and_again(&self) {
        self.flush(true).await;
        let mut ticks = tokio::time::interval(SYNC_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_hinted = tokio::select! {
                () = self.inner.hinted.notified() => true,
                _ = ticks.tick() => false,
            };
            let is_wanted = is_hinted || self.local().wants_sync(Instant::now());
            if is_wanted {
                self.flush(true).await;
            }
        }
    }

    async fn admit(&self) -> Result<Pass, Refused> {
        let decision = match self.decide() {
            // What was counted is said first; the answer tells the state, too.
            Decision::Ask { unsent: true } => {
                self.flush(true).await;
                self.decide()
            }
            decision => decision,
        };
        match decision {
            Decision::Go(pass) => Ok(pass),
            Decision::Refuse(wait) => Err(self.refused(wait)),
            Decision::Ask { .. } => self.ask().await,
        }
    }

    fn decide(&self) -> Decision {
        let mut local = self.local();
        let decision = local.decide(Instant::now());
        if matches!(decision, Decision::Refuse(_)) {
            local.refused += 1;
        }
        decision
    }

    async fn ask(&self) -> Result<Pass, Refused> {
        let (asked, id) = (self.local().ask(Instant::now()), Uuid::now_v7().simple().to_string());
        match self.inner.store.breaker_permit(self.asked(), &id, u32::MAX).await {
            Ok(answer) => {
                self.adopt(answer, asked);
                match answer.verdict {
                    Verdict::Refused => Err(self.refused(answer.wait)),
                    verdict => {
                        let permit = (verdict == Verdict::Probe).then_some(id);
                        Ok(Pass { generation: answer.generation, permit, alone: None })
                    }
                }
            }
            Err(error) => {
                self.go_alone(&error);
                match self.decide() {
                    Decision::Go(pass) => Ok(pass),
                    Decision::Refuse(wait) => Err(self.refused(wait)),
                    // Redis is back this very moment.
                    Decision::Ask { .. } => Err(self.refused(SYNC_INTERVAL)),
                }
            }
        }
    }

    async fn report(&self, pass: Pass, failed: bool, took: Duration) {
        let slow = took >= Duration::from_millis(self.inner.rules.slow_ms.into());
        let run = Run { calls: 1, outcome: Outcome { failed, slow } };
        if let Some(generation) = pass.alone {
            let state = self.local().report_alone(generation, &pass, run, self.jitter(), Instant::now());
            if let Some(state) = state {
                self.inner.metrics.set_breaker_state(self.inner.label, state.as_str());
            }
            return;
        }
        let is_due = pass.permit.is_some() || self.local().count(pass.generation, run) >= BATCH_MAX;
        if failed {
            self.tell(pass, run).await;
        } else if is_due {
            // What was answered well is not kept waiting for Redis: it would be older when it is used.
            let this = self.clone();
            tokio::spawn(async move { this.tell(pass, run).await });
        }
    }

    async fn tell(&self, pass: Pass, run: Run) {
        match &pass.permit {
            Some(permit) => self.report_probe(pass.generation, permit, run).await,
            None => self.flush(false).await,
        }
    }

    async fn report_probe(&self, generation: u64, permit: &str, run: Run) {
        let asked = self.local().ask(Instant::now());
        let report =
            Report { generation, permit: Some(permit), runs: &[run], jitter: self.jitter(), ..Report::default() };
        match self.inner.store.breaker_report(self.asked(), &report).await {
            Ok(answer) => self.adopt(answer, asked),
            Err(error) => self.go_alone(&error),
        }
    }

    /// Reports what was counted, in its order; with `anyway`, asks how things are also where nothing was. What is cut
    /// off halfway is said again under the same number, and counts once.
    async fn flush(&self, anyway: bool) {
        let _turn = self.inner.sending.lock().await;
        // What was cut off before, then what was counted since.
        for is_first in [true, false] {
            let Some((batch, asked)) = self.local().take_batch(anyway && is_first, Instant::now()) else { return };
            let report = Report {
                generation: batch.generation,
                runs: &batch.runs,
                jitter: self.jitter(),
                said_by: Some((&self.inner.reporter, batch.number)),
                refused: batch.refused,
                ..Report::default()
            };
            match self.inner.store.breaker_report(self.asked(), &report).await {
                Ok(answer) => {
                    self.local().sent();
                    self.adopt(answer, asked);
                }
                Err(error) => return self.go_alone(&error),
            }
        }
    }

    fn adopt(&self, answer: Answer, asked: super::local::Asked) {
        let was_alone = self.local().adopt(answer, asked);
        let Inner { metrics, label, .. } = &*self.inner;
        metrics.set_breaker_state(label, answer.state.as_str());
        if was_alone {
            metrics.set_breaker_degraded(label, false);
            tracing::info!(breaker = label, state = answer.state.as_str(), "the breaker is shared again");
        }
        if answer.moved {
            metrics.breaker_moved(label, answer.state.as_str());
            tracing::warn!(breaker = label, state = answer.state.as_str(), "the breaker changed its state");
        }
    }

    fn go_alone(&self, error: &StoreError) {
        if self.local().go_alone(self.inner.rules, Instant::now()) {
            self.inner.metrics.set_breaker_degraded(self.inner.label, true);
            tracing::warn!(breaker = self.inner.label, %error, "the breaker goes on for this replica alone");
        }
    }

    fn refused(&self, retry_after: Duration) -> Refused {
        self.inner.metrics.breaker_refused(self.inner.label);
        Refused { breaker: self.inner.label, retry_after }
    }

    fn asked(&self) -> Asked<'_> {
        let Inner { tenant, name, rules, .. } = &*self.inner;
        Asked { tenant, name, rules: Wanted::These(rules), once: None }
    }

    fn jitter(&self) -> u32 {
        rand::random_range(0..=self.inner.jitter_max)
    }

    fn local(&self) -> MutexGuard<'_, Local> {
        self.inner.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
