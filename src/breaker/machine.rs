//! The rules of a breaker, without Redis: for a replica that has to go on alone. `lua/breaker/shared.lua` has the same
//! rules; who changes the one changes the other, and a test plays both side by side.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Answer, Breaker, Counts, Forced, Outcome, Rules, Run, State, Transition, Verdict};
use crate::name::Name;

const BUCKETS: usize = 10;
/// The same, as times are counted.
const PLACES: u64 = 10;
const HISTORY_MAX: usize = 20;
/// How long who was refused while others probe waits at most.
const PROBE_POLL_MS: u64 = 1_000;

/// A breaker of one's own. Times are milliseconds by whatever clock its owner has.
#[derive(Debug, Clone)]
pub struct Machine {
    rules: Rules,
    state: State,
    forced: Option<(Forced, Option<u64>)>,
    note: Option<String>,
    generation: u64,
    since: u64,
    reason: String,
    open_until: u64,
    streak: u64,
    successes: u32,
    doublings: u32,
    probes: BTreeMap<String, u64>,
    /// By their place: which stretch of time, and what was counted in it.
    buckets: [(u64, Counts); BUCKETS],
    total: Counts,
    refused: u64,
    opened: u64,
    history: Vec<Transition>,
}

impl Machine {
    /// A closed one.
    pub fn new(rules: Rules, now: u64) -> Self {
        Self {
            rules,
            state: State::Closed,
            forced: None,
            note: None,
            generation: now,
            since: now,
            reason: "made".to_owned(),
            open_until: 0,
            streak: 0,
            successes: 0,
            doublings: 0,
            probes: BTreeMap::new(),
            buckets: Default::default(),
            total: Counts::default(),
            refused: 0,
            opened: 0,
            history: Vec::new(),
        }
    }

    /// One that goes on where the shared one was last known to be.
    pub fn resume(rules: Rules, now: u64, last: Option<(State, Option<Forced>, Duration)>) -> Self {
        let mut machine = Self::new(rules, now);
        let Some((state, forced, left)) = last else { return machine };
        machine.forced = forced.map(|forced| (forced, None));
        machine.state = state;
        machine.open_until = now + millis(left);
        machine
    }

    /// The state now.
    pub fn state(&self) -> State {
        self.state
    }

    /// Asks whether a call may be made; `id` names its permit.
    pub fn permit(&mut self, now: u64, id: &str) -> Answer {
        let before = self.generation;
        self.settle(now);
        if self.state == State::Open && self.forced.is_none() && now >= self.open_until {
            self.go(now, State::HalfOpen, "probing");
        }
        let (verdict, wait) = match self.state {
            State::Closed => (Verdict::Allowed, 0),
            State::Open => (Verdict::Refused, self.left(now).unwrap_or(self.rules.open_ms.into())),
            State::HalfOpen => self.probe(now, id),
        };
        if verdict == Verdict::Refused {
            self.refused += 1;
        }
        self.answer(now, verdict, wait, before)
    }

    fn probe(&mut self, now: u64, id: &str) -> (Verdict, u64) {
        let is_full = self.probes.len() >= self.rules.probes_max as usize;
        if is_full && !self.probes.contains_key(id) {
            let first = self.probes.values().min().map_or(PROBE_POLL_MS, |until| until - now);
            return (Verdict::Refused, first.min(PROBE_POLL_MS));
        }
        let until = *self.probes.entry(id.to_owned()).or_insert(now + u64::from(self.rules.probe_ms));
        (Verdict::Probe, until - now)
    }

    /// Takes in how calls ended, that were permitted in that generation. `jitter`: how much shorter it is open than it
    /// might be, in thousandths.
    pub fn report(&mut self, now: u64, generation: u64, permit: &str, runs: &[Run], jitter: u32) -> Answer {
        let before = self.generation;
        self.settle(now);
        let mut verdict = Verdict::Stale;
        for run in runs {
            if self.generation == generation && self.count(now, *run, permit, jitter) {
                verdict = Verdict::Counted;
            }
        }
        let wait = match self.state {
            State::Open => self.left(now).unwrap_or(self.rules.open_ms.into()),
            _ => 0,
        };
        self.answer(now, verdict, wait, before)
    }

    /// Holds it in a state, for so long or until it is let go (`None`).
    pub fn force(&mut self, now: u64, forced: Option<Forced>, for_ms: Option<u64>, note: &str) {
        self.settle(now);
        let Some(forced) = forced else {
            if self.forced.is_some() {
                self.release(now, "released");
            }
            return;
        };
        self.forced = Some((forced, for_ms.map(|for_ms| now + for_ms)));
        self.note = (!note.is_empty()).then(|| note.to_owned());
        let state = if forced == Forced::Open { State::Open } else { State::Closed };
        self.go(now, state, &format!("forced_{}", forced.as_str()));
    }

    /// Closes it as if it were new.
    pub fn reset(&mut self, now: u64) {
        (self.forced, self.note, self.doublings) = (None, None, 0);
        (self.total, self.refused, self.opened) = (Counts::default(), 0, 0);
        self.go(now, State::Closed, "reset");
    }

    /// The whole of it.
    pub fn status(&self, name: &Name, now: u64) -> Breaker {
        Breaker {
            name: name.clone(),
            state: self.state,
            forced: self.forced.map(|(forced, _)| forced),
            forced_until_ms: self.forced.and_then(|(_, until)| until),
            note: self.note.clone(),
            since_ms: self.since,
            reason: self.reason.clone(),
            generation: self.generation,
            open_until_ms: (self.state == State::Open && self.forced.is_none()).then_some(self.open_until),
            rules: self.rules,
            streak: self.streak,
            window: self.window(now),
            total: self.total,
            refused: self.refused,
            opened: self.opened,
            probes_until_ms: sorted(self.probes.values().copied().filter(|until| *until > now)),
            history: self.history.iter().rev().cloned().collect(),
            degraded: true,
        }
    }

    fn answer(&self, now_ms: u64, verdict: Verdict, wait: u64, before: u64) -> Answer {
        let forced = self.forced.map(|(forced, _)| forced);
        let (generation, state, moved) = (self.generation, self.state, self.generation != before);
        Answer { verdict, generation, state, forced, wait: Duration::from_millis(wait), moved, now_ms }
    }

    /// How long it stays open; `None` where that is not said.
    fn left(&self, now: u64) -> Option<u64> {
        match self.forced {
            Some((_, until)) => until.map(|until| until.saturating_sub(now)),
            None => Some(self.open_until.saturating_sub(now)),
        }
    }

    /// What time alone brings.
    fn settle(&mut self, now: u64) {
        if matches!(self.forced, Some((_, Some(until))) if now >= until) {
            self.release(now, "force_over");
        }
        self.probes.retain(|_, until| *until > now);
    }

    fn release(&mut self, now: u64, reason: &str) {
        let was_open = matches!(self.forced, Some((Forced::Open, _)));
        (self.forced, self.note, self.doublings) = (None, None, 0);
        self.go(now, if was_open { State::HalfOpen } else { State::Closed }, reason);
    }

    /// A transition: what was permitted or began before it counts for nothing any more.
    fn go(&mut self, now: u64, state: State, reason: &str) {
        self.generation = (self.generation + 1).max(now);
        (self.state, self.since) = (state, now);
        reason.clone_into(&mut self.reason);
        (self.streak, self.successes) = (0, 0);
        self.probes.clear();
        if state != State::Open {
            self.buckets = Default::default();
        }
        if self.history.len() == HISTORY_MAX {
            self.history.remove(0);
        }
        self.history.push(Transition { at_ms: now, state, reason: self.reason.clone() });
    }

    fn open(&mut self, now: u64, reason: &str, jitter: u32) {
        let doubled = u64::from(self.rules.open_ms) << self.doublings.min(16);
        let longest = doubled.min(self.rules.open_ms_max.into());
        self.go(now, State::Open, reason);
        self.open_until = now + longest - longest * u64::from(jitter) / 1000;
        self.opened += 1;
    }

    /// Takes in calls that ended alike; false where they change nothing.
    fn count(&mut self, now: u64, Run { calls, outcome }: Run, permit: &str, jitter: u32) -> bool {
        if self.state == State::Open || (self.state == State::HalfOpen && self.probes.remove(permit).is_none()) {
            return false;
        }
        let Outcome { failed, slow } = outcome;
        let some = |so: bool| if so { u64::from(calls) } else { 0 };
        let counts = Counts { calls: calls.into(), failures: some(failed), slow: some(slow) };
        let index = now / self.bucket_ms();
        let bucket = &mut self.buckets[usize::try_from(index % PLACES).unwrap_or_default()];
        if bucket.0 != index {
            *bucket = (index, Counts::default());
        }
        for sum in [&mut self.total, &mut bucket.1] {
            sum.calls += counts.calls;
            sum.failures += counts.failures;
            sum.slow += counts.slow;
        }
        if self.state == State::HalfOpen {
            self.judge_probe(now, outcome, jitter);
            return true;
        }
        self.streak = if failed { self.streak + u64::from(calls) } else { 0 };
        if let Some(reason) = self.why_open(now).filter(|_| self.forced.is_none()) {
            self.open(now, reason, jitter);
        }
        true
    }

    fn judge_probe(&mut self, now: u64, Outcome { failed, slow }: Outcome, jitter: u32) {
        if failed || (slow && self.rules.slow_percent > 0) {
            self.doublings += 1;
            self.open(now, if failed { "probe_failed" } else { "probe_slow" }, jitter);
            return;
        }
        self.successes += 1;
        if self.successes >= self.rules.successes_min {
            self.doublings = 0;
            self.go(now, State::Closed, "recovered");
        }
    }

    fn why_open(&self, now: u64) -> Option<&'static str> {
        let rules = &self.rules;
        if rules.failures_max > 0 && self.streak >= u64::from(rules.failures_max) {
            return Some("failures");
        }
        let Counts { calls, failures, slow } = self.window(now);
        let reaches = |some: u64, percent: u32| percent > 0 && some * 100 >= u64::from(percent) * calls;
        if calls < u64::from(rules.calls_min) {
            None
        } else if reaches(failures, rules.failure_percent) {
            Some("failure_rate")
        } else {
            reaches(slow, rules.slow_percent).then_some("slow_calls")
        }
    }

    fn bucket_ms(&self) -> u64 {
        (u64::from(self.rules.window_ms) / PLACES).max(1)
    }

    fn window(&self, now: u64) -> Counts {
        window(self.buckets.iter().copied(), now, self.rules.window_ms)
    }
}

/// The sum of those buckets that are in the window.
pub(crate) fn window(buckets: impl Iterator<Item = (u64, Counts)>, now: u64, window_ms: u32) -> Counts {
    let current = now / (u64::from(window_ms) / PLACES).max(1);
    let within = buckets.filter(|(index, _)| *index + PLACES > current && *index <= current);
    within.fold(Counts::default(), |sum, (_, counts)| Counts {
        calls: sum.calls + counts.calls,
        failures: sum.failures + counts.failures,
        slow: sum.slow + counts.slow,
    })
}

pub(crate) fn sorted(times: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut times: Vec<u64> = times.collect();
    times.sort_unstable();
    times
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
