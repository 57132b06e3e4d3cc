//! The loop of a runner: tells the server what there is, and does what the answer says.
//!
//! It is level-triggered: a call tells how everything is, or what differs from what was heard before (`Heard`), and an
//! answer says likewise of workers what is to be. So a call may be lost, repeated or abandoned, and nothing is missed.
//! There are two kinds of call:
//!
//! - where something has changed here: answered at once (`wait_seconds` 0), and not abandoned, so that changes that
//!   follow each other closely cannot keep every call from ending;
//! - else a long poll, which is dropped as soon as something changes.
//!
//! What is stopped is stopped because an answer says so, never because there is none. An answer of another store than
//! the one before decides nothing: everything is told to it first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::field::Empty;

use super::Spec;
use super::call::{Action, Answer, Caller, Mode, Report, Request, State, Trouble, Wish};
use super::life::Stop;
use super::worker::{Handle, What};
use crate::policy::Retry;

/// How long the server may hold a call back, where it does not say how often it wants to hear the runner. Then no longer: a
/// server that hangs is noticed while the runner is still believed.
const WAIT: Duration = Duration::from_secs(20);
/// How often everything is told, whatever was heard: what is wrong without anybody's noticing lasts no longer.
const WHOLE_EVERY: Duration = Duration::from_secs(10);
/// How long a worker has to become ready, or to do what it is told, where the server says nothing.
const START_MAX: Duration = Duration::from_mins(1);
const INSTRUCTION_MAX: Duration = Duration::from_secs(5);
/// The longest that the server may give.
const WITHIN_MAX: Duration = Duration::from_mins(10);
/// The pause after a call without an answer, and after one that was refused: somebody has to mend something.
const PASSING: Retry = up_to(2);
const REFUSED: Retry = up_to(20);
/// The pause after a long poll that nobody held back.
const UNHELD: Duration = Duration::from_millis(200);
/// So long a runner that drains waits for a server that does not answer, if none of its workers has a session.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How often the last call is tried.
const LAST_CALLS: usize = 3;
const ID_CHARS_MAX: usize = 128;
/// So many workers may be told of in a call.
const REPORTS_MAX: usize = 200;

const fn up_to(seconds: u64) -> Retry {
    let pause = Duration::from_secs(seconds);
    Retry { attempts: u32::MAX, pause, pause_max: pause, part_min: 0.1 }
}

/// What the server has heard of this runner, as far as that is certain.
struct Heard {
    /// The number of the last report that was answered.
    since: Option<u64>,
    /// When everything was told.
    whole: Instant,
    /// How the workers are that it has the last word of.
    workers: BTreeMap<String, Report>,
}

impl Heard {
    fn nothing() -> Self {
        Self { since: None, whole: Instant::now(), workers: BTreeMap::new() }
    }

    /// What is to be told where `all` is how it is, and the report that this adds to. Until that is answered, nobody knows
    /// what the server has heard of these.
    fn news(&mut self, all: impl Iterator<Item = Report>, whole: bool) -> (Option<u64>, Vec<Report>) {
        if whole || self.whole.elapsed() >= WHOLE_EVERY {
            *self = Self::nothing();
        }
        let news: Vec<_> = all.filter(|report| self.workers.get(&report.id) != Some(report)).collect();
        for report in &news {
            self.workers.remove(&report.id);
        }
        (self.since, news)
    }

    /// That was answered.
    fn add(&mut self, number: u64, told: Vec<Report>) {
        self.since = Some(number);
        let lives = told.into_iter().filter(|report| report.state != State::Gone);
        self.workers.extend(lives.map(|report| (report.id.clone(), report)));
    }
}

/// A runner at work.
pub(super) struct Runner {
    spec: Arc<Spec>,
    caller: Caller,
    capacity: usize,
    drain: Duration,
    wait: Duration,
    store: Option<String>,
    revision: Option<String>,
    /// How many calls there were: what each tells has a higher number than what was told before.
    reports: u64,
    heard: Heard,
    workers: BTreeMap<String, Handle>,
    /// Those that the server speaks of and that are not here.
    unknown: BTreeMap<String, Report>,
    /// Since when it drains, if it does.
    draining: Option<Instant>,
    answered: Instant,
}

impl Runner {
    pub(super) fn new(spec: Arc<Spec>, caller: Caller, capacity: usize, drain: Duration) -> Self {
        let (workers, unknown) = (BTreeMap::new(), BTreeMap::new());
        let (store, revision, reports, draining, answered) = (None, None, 0, None, Instant::now());
        let (wait, heard) = (WAIT, Heard::nothing());
        Self {
            spec,
            caller,
            capacity,
            drain,
            wait,
            store,
            revision,
            reports,
            heard,
            workers,
            unknown,
            draining,
            answered,
        }
    }

    /// Runs until it was asked to stop (`asked` counts how often), and nothing is left.
    pub(super) async fn run(mut self, mut asked: watch::Receiver<u32>) {
        let (mut has_news, mut last_calls, mut is_overtaken) = (true, 0, false);
        while last_calls < LAST_CALLS {
            let is_last = self.is_over();
            let wait = if has_news || is_last { Duration::ZERO } else { self.wait };
            let began = Instant::now();
            let (outcome, told) = self.call(wait, &mut asked).await;
            self.heed(*asked.borrow_and_update());
            last_calls += usize::from(is_last);
            has_news = match outcome {
                None => true,
                Some(Ok(answer)) => {
                    is_overtaken = false;
                    // Who answers at once has news, or does not hold calls back.
                    let is_old = self.revision.as_ref() == Some(&answer.revision);
                    let is_unheld = is_old && !wait.is_zero() && began.elapsed() < UNHELD;
                    let has_news = self.apply(answer, told);
                    last_calls += if is_last && !has_news { LAST_CALLS } else { 0 };
                    if is_unheld || !self.unknown.is_empty() {
                        pause(UNHELD, &mut asked).await;
                    }
                    has_news
                }
                Some(Err(trouble)) => {
                    // What there is now is told at once, all of it. Told and refused again, it is somebody else.
                    let is_refused = matches!(trouble, Trouble::Overtaken(_) | Trouble::Incomplete(_));
                    if is_refused {
                        self.heard = Heard::nothing();
                    }
                    let was_overtaken = std::mem::replace(&mut is_overtaken, is_refused);
                    if was_overtaken || !is_overtaken {
                        pause(complaint(&trouble, is_last), &mut asked).await;
                    }
                    true
                }
            };
            self.see_the_drain_through();
        }
    }

    /// One call, unless something changes first; with it what it tells.
    async fn call(
        &mut self,
        wait: Duration,
        asked: &mut watch::Receiver<u32>,
    ) -> (Option<Result<Answer, Trouble>>, Vec<Report>) {
        self.reports += 1;
        let all = self.workers.values().map(Handle::report).chain(self.unknown.values().cloned());
        let (since, workers) = self.heard.news(all, self.draining.is_some());
        let told = workers.clone();
        let request = Request {
            pool: self.spec.pool.as_str(),
            boot: &self.spec.boot,
            report: self.reports,
            since,
            host: &self.spec.host,
            driver: self.spec.driver.name(),
            capacity: self.capacity,
            draining: self.draining.is_some(),
            wait_seconds: wait.as_secs(),
            revision: self.revision.as_deref(),
            store: self.store.as_deref(),
            workers,
        };
        let outcome = tokio::select! {
            biased;
            Ok(()) = asked.changed() => None,
            () = self.spec.changed.notified(), if !wait.is_zero() => None,
            () = self.drain_decision() => None,
            answer = self.caller.sync(&request) => Some(answer),
        };
        (outcome, told)
    }

    /// Does what the answer says; whether there is more to tell at once.
    fn apply(&mut self, answer: Answer, told: Vec<Report>) -> bool {
        let is_new_store = self.store.as_ref().is_some_and(|store| *store != answer.store);
        self.answered = Instant::now();
        self.store = Some(answer.store);
        if is_new_store {
            tracing::warn!(line.kept = Empty, "the server has another store: it is told everything before it decides");
            (self.revision, self.heard) = (None, Heard::nothing());
            return true;
        }
        self.revision = Some(answer.revision);
        self.wait = answer.heartbeat_seconds.map_or(WAIT, Duration::from_secs).clamp(Duration::from_secs(1), WAIT);
        if let Some(seconds) = answer.health_seconds {
            self.spec.set_health(seconds);
        }
        for gone in told.iter().filter(|report| report.state == State::Gone) {
            self.workers.remove(&gone.id);
            self.unknown.remove(&gone.id);
        }
        self.heard.add(self.reports, told);
        let wishes: BTreeMap<String, Wish> = answer.workers.into_iter().map(|wish| (wish.id.clone(), wish)).collect();
        for (_, worker) in self.workers.iter().filter(|(id, _)| answer.complete && !wishes.contains_key(*id)) {
            worker.stop(Stop::Politely);
        }
        for wish in wishes.into_values() {
            self.grant(wish);
        }
        !self.unknown.is_empty()
    }

    fn grant(&mut self, wish: Wish) {
        let Wish { id, action, instruction, within_ms, assignment, reset } = wish;
        // What has no end has none of its own: 0 is said of that.
        let within_ms = within_ms.filter(|ms| *ms > 0);
        let within = |default: Duration| within_ms.map_or(default, Duration::from_millis).min(WITHIN_MAX);
        let Some(worker) = self.workers.get_mut(&id) else {
            return self.grant_absent(id, action, instruction, within(START_MAX));
        };
        match (action, instruction, assignment) {
            (Action::Assign, Some(number), Some(new)) => {
                worker.give(number, within(INSTRUCTION_MAX), What::Assign(new));
            }
            // A way to forget that is not known here is done by the surest that is.
            (Action::Reset, Some(number), _) => {
                worker.give(number, within(INSTRUCTION_MAX), What::Reset(reset.unwrap_or(Mode::Restart)));
            }
            (Action::Stop, ..) => worker.stop(Stop::Politely),
            _ => {}
        }
    }

    /// What is wanted of a worker that is not here: to be started, else to be missed.
    fn grant_absent(&mut self, id: String, action: Action, instruction: Option<u64>, within: Duration) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let live = self.workers.values().filter(|worker| !matches!(worker.state(), State::Stopping | State::Gone));
        let is_full = live.count() >= self.capacity || self.workers.len() >= 2 * self.capacity;
        let why = match action {
            // What is to go, and is not here, has gone.
            Action::Stop | Action::Unknown => return,
            _ if id.is_empty() || id.len() > ID_CHARS_MAX || !id.chars().all(is_plain) => {
                tracing::warn!(line.notice = Empty, "the server speaks of a worker by an id that is none");
                return;
            }
            Action::Run if self.draining.is_some() => "the runner drains",
            Action::Run if is_full => "the runner is full",
            Action::Run => {
                let worker = Handle::start(self.spec.clone(), id.clone(), instruction, within);
                self.workers.insert(id, worker);
                return;
            }
            Action::Assign | Action::Keep | Action::Reset => "the runner does not have it",
        };
        let report = Report { detail: Some(why.to_owned()), ..Report::new(id.clone(), State::Gone) };
        // The others are missed next time.
        if self.workers.len() + self.unknown.len() < REPORTS_MAX {
            self.unknown.insert(id, report);
        }
    }

    /// Goes by how often it was asked to stop.
    fn heed(&mut self, times: u32) {
        if times > 0 && self.draining.is_none() {
            tracing::info!(line.kept = Empty, "draining: sessions may end, nothing is started");
            self.draining = Some(Instant::now());
            self.answered = Instant::now();
        }
        if times > 1 {
            self.stop_all(Stop::Now);
        }
    }

    fn stop_all(&self, how: Stop) {
        self.workers.values().for_each(|worker| worker.stop(how));
    }

    /// Whether nothing is left to do but to say so.
    fn is_over(&self) -> bool {
        self.draining.is_some() && self.workers.values().all(|worker| worker.state() == State::Gone)
    }

    /// Until when a drain goes by what the server says.
    fn drain_ends(&self) -> Option<Instant> {
        let has_session = |worker: &Handle| matches!(worker.state(), State::Busy | State::Resetting);
        let end = self.draining? + self.drain;
        let idle_end = self.answered + SILENCE_MAX;
        Some(if self.workers.values().any(has_session) { end } else { end.min(idle_end) })
    }

    fn see_the_drain_through(&self) {
        if self.drain_ends().is_some_and(|end| end <= Instant::now()) {
            self.stop_all(Stop::Politely);
        }
    }

    /// Ends when the drain does, if that is still to come.
    async fn drain_decision(&self) {
        match self.drain_ends() {
            Some(end) if end > Instant::now() => sleep_until(end).await,
            _ => std::future::pending().await,
        }
    }
}

/// Waits, unless it is asked to stop.
async fn pause(pause: Duration, asked: &mut watch::Receiver<u32>) {
    tokio::select! {
        () = sleep(pause) => {}
        Ok(()) = asked.changed() => asked.mark_changed(),
    }
}

/// Says what is wrong; how long to wait before the next call.
fn complaint(trouble: &Trouble, is_last: bool) -> Duration {
    match trouble {
        Trouble::Passing(why) => {
            tracing::warn!(line.notice = Empty, why, "the server does not answer: everything stays as it is");
        }
        Trouble::Refused(why) => {
            tracing::error!(line.notice = Empty, why, "the server refuses this runner: everything stays as it is");
        }
        Trouble::Overtaken(why) | Trouble::Incomplete(why) => {
            tracing::error!(
                line.notice = Empty,
                why,
                "another runner of this name has begun: everything stays as it is"
            );
        }
    }
    let pause = if is_last || matches!(trouble, Trouble::Passing(_)) { PASSING } else { REFUSED };
    pause.drawn(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(id: &str, state: State) -> Report {
        Report::new(id.to_owned(), state)
    }

    #[test]
    fn what_was_told_and_not_answered_is_told_again_also_where_it_is_as_before() {
        let mut heard = Heard::nothing();
        let ready = [report("a", State::Ready), report("b", State::Ready)];
        let (since, told) = heard.news(ready.clone().into_iter(), false);
        assert_eq!((since, &told[..]), (None, &ready[..]));
        heard.add(1, told);
        assert_eq!(heard.news(ready.clone().into_iter(), false), (Some(1), vec![]));

        // Whether that it was busy was heard is not known: that it is ready is news.
        let (_, told) = heard.news([report("a", State::Busy), ready[1].clone()].into_iter(), false);
        assert_eq!(told, [report("a", State::Busy)]);
        let (since, told) = heard.news(ready.clone().into_iter(), false);
        assert_eq!((since, &told[..]), (Some(1), &ready[..1]));
        heard.add(3, told);
        assert_eq!(heard.news(ready.clone().into_iter(), false), (Some(3), vec![]));
        assert_eq!(heard.news(ready.clone().into_iter(), true), (None, ready.to_vec()));
    }

    #[tokio::test(start_paused = true)]
    async fn everything_is_told_now_and_then() {
        let (mut heard, ready) = (Heard::nothing(), vec![report("a", State::Ready)]);
        heard.add(1, ready.clone());
        tokio::time::advance(WHOLE_EVERY / 2).await;
        assert_eq!(heard.news(ready.clone().into_iter(), false), (Some(1), vec![]));
        tokio::time::advance(WHOLE_EVERY / 2).await;
        assert_eq!(heard.news(ready.clone().into_iter(), false), (None, ready));
    }
}
