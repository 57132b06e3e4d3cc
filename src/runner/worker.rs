//! One worker: a task that owns its process, does what it is told, and tells how it is.
//!
//! ```text
//!             ready              assigned
//! starting ─────────▶ ready ──────────────────▶ busy
//!     │                 ▲                        │ reset
//!     │                 │   proved               ▼
//!     │                 └──────────────────── resetting      (and it stays there where nothing was proved)
//!     ▼
//! stopping ──▶ gone     from every state: it is stopped, has died, or is not understood
//! ```
//!
//! Whoever is outside sends instructions and looks at the report; nobody else touches the process. A stop does not
//! queue behind instructions: every wait ends with it. An instruction that is late is not waited for any longer: after a
//! late assignment the worker is ended, for what it has taken is not known.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Spec;
use super::call::{Assignment, Mode, Report, State};
use super::drivers::Launch;
use super::frames::{FromWorker, PROTOCOL, ToWorker};
use super::life::{End, Life, Served, Stop};
use crate::scrub;

/// Instructions that wait; one at a time is given.
const INSTRUCTIONS_MAX: usize = 4;
/// An answer about its health may take so long.
const HEALTH_MAX: Duration = Duration::from_secs(5);
const ENDPOINT_BYTES_MAX: usize = 512;

/// Something that a worker is to do, until a time.
#[derive(Debug)]
pub(super) struct Instruction {
    pub(super) number: u64,
    pub(super) until: Instant,
    pub(super) what: What,
}

/// What it is to do.
#[derive(Debug)]
pub(super) enum What {
    /// Take a session.
    Assign(Assignment),
    /// Forget it.
    Reset(Mode),
}

/// A worker, as the rest of the runner sees it.
#[derive(Debug)]
pub(super) struct Handle {
    instructions: mpsc::Sender<Instruction>,
    stop: watch::Sender<Stop>,
    report: watch::Receiver<Report>,
    given: Option<u64>,
}

impl Handle {
    /// A worker that is being started: the number of that instruction, and how long it may take once it is its turn.
    pub(super) fn start(spec: Arc<Spec>, id: String, number: Option<u64>, within: Duration) -> Self {
        let (instructions, taken) = mpsc::channel(INSTRUCTIONS_MAX);
        let (stop, stopped) = watch::channel(Stop::No);
        let (told, report) = watch::channel(Report::new(id.clone(), State::Starting));
        let health = Health { next: Instant::now(), asked: None };
        let worker = Worker { spec, id, lives: 0, instructions: taken, stop: stopped, told, health };
        tokio::spawn(worker.run(number, within));
        Self { instructions, stop, report, given: number }
    }

    pub(super) fn report(&self) -> Report {
        self.report.borrow().clone()
    }

    pub(super) fn state(&self) -> State {
        self.report.borrow().state
    }

    /// Hands an instruction on, once: it is listed until it has ended.
    pub(super) fn give(&mut self, number: u64, within: Duration, what: What) {
        if self.given == Some(number) {
            return;
        }
        let instruction = Instruction { number, until: Instant::now() + within, what };
        // One that finds no room is listed again.
        if self.instructions.try_send(instruction).is_ok() {
            self.given = Some(number);
        }
    }

    /// Ends it; what was said before is not taken back.
    pub(super) fn stop(&self, how: Stop) {
        self.stop.send_if_modified(|stop| {
            let is_more = how > *stop;
            *stop = how.max(*stop);
            is_more
        });
    }
}

/// When its health is asked for, or has to be told; and which question is open.
#[derive(Debug)]
struct Health {
    next: Instant,
    asked: Option<u64>,
}

pub(super) struct Worker {
    pub(super) spec: Arc<Spec>,
    pub(super) id: String,
    lives: u32,
    instructions: mpsc::Receiver<Instruction>,
    pub(super) stop: watch::Receiver<Stop>,
    told: watch::Sender<Report>,
    health: Health,
}

impl Worker {
    async fn run(mut self, number: Option<u64>, within: Duration) {
        let end = match self.start(within, number).await {
            Ok(mut life) => {
                let end = self.live(&mut life).await;
                self.tell(|report| report.state = State::Stopping);
                life.finish(&end, &mut self.stop).await;
                end
            }
            Err(end) => end,
        };
        let detail = match end {
            End::Stopped => None,
            End::Died(why) => Some(why),
            End::Late => Some("not ready in time".to_owned()),
        };
        tracing::info!(worker = self.id, why = detail, "a worker is gone");
        self.tell(|report| {
            report.state = State::Gone;
            report.detail = detail;
            report.memory_bytes = None;
        });
    }

    /// Starts a process and waits until it is ready. Where that fails nothing is left of it.
    async fn start(&mut self, within: Duration, number: Option<u64>) -> Result<Life, End> {
        let spec = self.spec.clone();
        let _place = tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop != Stop::No) => return Err(End::Stopped),
            place = spec.starts.enter() => place,
        };
        self.lives += 1;
        let failed = |error: std::io::Error| End::Died(format!("could not be started: {error}"));
        let dir = spec.place.make(&self.id, self.lives).map_err(failed)?;
        let launch = Launch { worker: &self.id, dir: &dir };
        let (began, started) = (Instant::now(), spec.driver.start(launch).await);
        let end = match started {
            Ok(running) => {
                let mut life = Life::new(&self.id, running);
                self.tell(|report| report.pid = Some(life.running().pid()));
                match self.greet(&mut life, began + within).await {
                    Ok(endpoint) => {
                        spec.starts.succeeded();
                        let memory = life.running().memory_bytes().await.ok();
                        life.clean = life.running().belongings().await.ok();
                        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                        tracing::info!(worker = self.id, pid = life.running().pid(), took_ms, "a worker is ready");
                        self.tell(|report| {
                            (report.state, report.endpoint, report.memory_bytes) = (State::Ready, endpoint, memory);
                            report.serve(None);
                            report.failures = 0;
                            ended(report, number, Ok(()));
                        });
                        return Ok(life);
                    }
                    Err(end) => {
                        life.finish(&end, &mut self.stop).await;
                        end
                    }
                }
            }
            Err(error) => failed(error),
        };
        if end != End::Stopped {
            let pause_ms = u64::try_from(spec.starts.failed().as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(worker = self.id, ?end, pause_ms, "a worker could not be started");
        }
        self.tell(|report| ended(report, number, Err("could not be started")));
        Err(end)
    }

    /// Where it can be reached, once it is ready.
    async fn greet(&mut self, life: &mut Life, until: Instant) -> Result<Option<String>, End> {
        let health_seconds = self.spec.health().as_secs();
        let (worker, pool) = (self.id.clone(), self.spec.pool.to_string());
        life.say(&ToWorker::Hello { protocol: PROTOCOL, worker, pool, health_seconds }, until).await?;
        match life.heard(&mut self.stop, until).await? {
            FromWorker::Hello { protocol: PROTOCOL, .. } => {}
            FromWorker::Hello { .. } => return Err(End::Died("speaks another version of the protocol".to_owned())),
            _ => return Err(End::Died("did not say hello first".to_owned())),
        }
        loop {
            if let FromWorker::Ready { endpoint } = life.heard(&mut self.stop, until).await? {
                let is_good =
                    |text: &String| text.len() <= ENDPOINT_BYTES_MAX && text.chars().all(|c| c.is_ascii_graphic());
                return Ok(endpoint.filter(is_good));
            }
        }
    }

    async fn live(&mut self, life: &mut Life) -> End {
        self.health = Health { next: self.next_health(), asked: None };
        loop {
            let ended = tokio::select! {
                biased;
                heard = life.heard(&mut self.stop, self.health.next) => match heard {
                    Ok(frame) => { self.note(&frame); Ok(()) }
                    Err(End::Late) => self.check_health(life).await,
                    Err(end) => Err(end),
                },
                Some(instruction) = self.instructions.recv() => self.carry_out(life, instruction).await,
            };
            if let Err(end) = ended {
                return end;
            }
        }
    }

    async fn carry_out(&mut self, life: &mut Life, instruction: Instruction) -> Result<(), End> {
        let Instruction { number, until, what } = instruction;
        match what {
            What::Assign(assignment) => self.assign(life, number, until, assignment).await,
            What::Reset(Mode::Soft) => self.soft_reset(life, number, until).await,
            What::Reset(Mode::Restart) => {
                self.tell(|report| report.state = State::Resetting);
                life.kill().await;
                let left = until.saturating_duration_since(Instant::now());
                *life = self.start(left, Some(number)).await?;
                Ok(())
            }
        }
    }

    async fn assign(&mut self, life: &mut Life, number: u64, until: Instant, new: Assignment) -> Result<(), End> {
        if self.told.borrow().state != State::Ready {
            self.tell(|report| ended(report, Some(number), Err("it is not clean and ready")));
            return Ok(());
        }
        let before = match life.clean.take() {
            Some(before) => Ok(before),
            None => life.running().belongings().await,
        };
        let Ok(before) = before else {
            self.tell(|report| ended(report, Some(number), Err("what it has cannot be seen")));
            return Ok(());
        };
        let canary = SecretString::from(format!("canary-{}", uuid::Uuid::from_u128(rand::random()).simple()));
        let metadata = new.metadata.unwrap_or_default();
        life.hide(new.environment.values().cloned().chain([metadata.clone(), canary.clone()]));
        let (seq, environment) = (life.next_seq(), new.environment.clone());
        life.served = Some(Served { canary: canary.clone(), environment, before });
        let (lease, session) = (new.lease.clone(), new.session.clone());
        let frame = ToWorker::Assign { seq, lease, session, environment: new.environment, metadata, canary };
        self.tell(|report| report.serve(Some((new.lease, new.session, new.keyed))));
        life.say(&frame, until).await?;
        let answer = self.answer(life, until, |frame| match frame {
            FromWorker::Assigned { seq: of } if *of == seq => Some(Ok(())),
            FromWorker::Refused { seq: of, reason } if *of == seq => Some(Err(scrub::foreign(reason))),
            _ => None,
        });
        match answer.await {
            Ok(Ok(())) => self.tell(|report| {
                report.state = State::Busy;
                ended(report, Some(number), Ok(()));
            }),
            // It has seen the session's secrets: until it is reset it is not clean.
            Ok(Err(reason)) => self.tell(|report| {
                report.state = State::Resetting;
                report.serve(None);
                ended(report, Some(number), Err(&reason));
            }),
            Err(end) => {
                self.tell(|report| ended(report, Some(number), Err("it did not take the session in time")));
                return Err(if end == End::Late {
                    End::Died("did not take a session in time".to_owned())
                } else {
                    end
                });
            }
        }
        Ok(())
    }

    async fn soft_reset(&mut self, life: &mut Life, number: u64, until: Instant) -> Result<(), End> {
        self.tell(|report| report.state = State::Resetting);
        match self.prove(life, until).await {
            Ok(Ok(())) => {
                life.served = None;
                self.tell(|report| {
                    report.state = State::Ready;
                    report.serve(None);
                    ended(report, Some(number), Ok(()));
                });
                Ok(())
            }
            Ok(Err(why)) => {
                tracing::warn!(worker = self.id, why, "a worker could not be shown to have forgotten its session");
                self.tell(|report| ended(report, Some(number), Err(&why)));
                Ok(())
            }
            Err(End::Late) => {
                self.tell(|report| ended(report, Some(number), Err("the reset took too long")));
                Ok(())
            }
            Err(end) => Err(end),
        }
    }

    /// Waits for an answer; what else is said meanwhile is noted.
    pub(super) async fn answer<T>(
        &mut self,
        life: &mut Life,
        until: Instant,
        pick: impl Fn(&FromWorker) -> Option<T>,
    ) -> Result<T, End> {
        loop {
            let frame = life.heard(&mut self.stop, until).await?;
            match pick(&frame) {
                Some(answer) => return Ok(answer),
                None => self.note(&frame),
            }
        }
    }

    /// Asks how it is, or counts that it did not say.
    async fn check_health(&mut self, life: &mut Life) -> Result<(), End> {
        if self.health.asked.is_some() {
            self.tell(|report| report.failures = report.failures.saturating_add(1));
            self.health = Health { next: self.next_health(), asked: None };
            return Ok(());
        }
        let seq = life.next_seq();
        life.say(&ToWorker::Health { seq }, Instant::now() + HEALTH_MAX).await?;
        self.health = Health { next: Instant::now() + HEALTH_MAX.min(self.spec.health()), asked: Some(seq) };
        if let Ok(bytes) = life.running().memory_bytes().await {
            self.told.send_modify(|report| report.memory_bytes = Some(bytes));
        }
        if life.served.is_none() {
            life.clean = life.running().belongings().await.ok();
        }
        Ok(())
    }

    fn note(&mut self, frame: &FromWorker) {
        match frame {
            FromWorker::Healthy { seq, requests, errors } if self.health.asked == Some(*seq) => {
                self.health = Health { next: self.next_health(), asked: None };
                // Counts alone are told with the next call.
                self.told.send_modify(|report| (report.requests, report.errors) = (*requests, *errors));
                if self.told.borrow().failures > 0 {
                    self.tell(|report| report.failures = 0);
                }
            }
            FromWorker::Unhealthy { seq, reason } if self.health.asked == Some(*seq) => {
                self.health = Health { next: self.next_health(), asked: None };
                tracing::warn!(worker = self.id, reason = scrub::foreign(reason), "a worker is not well");
                self.tell(|report| report.failures = report.failures.saturating_add(1));
            }
            FromWorker::Release { lease } if self.told.borrow().lease.as_ref() == Some(lease) => {
                tracing::info!(worker = self.id, lease, "a worker says that its session is over");
                self.tell(|report| report.released = true);
            }
            // Late, or of a newer worker.
            _ => {}
        }
    }

    /// With jitter, so that a host's workers are not all asked at once.
    fn next_health(&self) -> Instant {
        Instant::now() + self.spec.health().mul_f64(rand::random_range(0.8..=1.0))
    }

    /// Changes the report, and has it told.
    pub(super) fn tell(&self, change: impl FnOnce(&mut Report)) {
        self.told.send_modify(change);
        self.spec.changed.notify_one();
    }
}

/// Notes how an instruction ended.
fn ended(report: &mut Report, number: Option<u64>, how: Result<(), &str>) {
    if number.is_some() {
        (report.instruction, report.done) = (number, Some(how.is_ok()));
        report.detail = how.err().map(str::to_owned);
    }
}
