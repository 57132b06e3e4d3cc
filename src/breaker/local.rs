//! What a replica knows of a breaker without asking: the state of a moment ago, and what was not reported yet.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::guard::Pass;
use super::{Answer, Breaker, Machine, RUNS_MAX, Rules, Run, State, Verdict};
use crate::name::Name;

/// For how long an answer counts, from when it was asked for.
const FRESH: Duration = Duration::from_secs(1);
/// A breaker that was not used for so long is not kept up to date.
const IN_USE: Duration = Duration::from_secs(5);

/// See above.
#[derive(Debug, Default)]
pub(super) struct Local {
    seen: Option<Seen>,
    /// Hints that came: an answer that was asked for before one counts for nothing after it.
    hints: u64,
    batch: Batch,
    unsent: Option<Batch>,
    number: u64,
    /// Calls that were refused without asking, and not reported yet.
    pub(super) refused: u64,
    alone: Option<Machine>,
    used: Option<Instant>,
}

/// The last answer.
#[derive(Debug, Clone, Copy)]
struct Seen {
    answer: Answer,
    at: Instant,
    is_current: bool,
}

/// When a question was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    at: Instant,
    hints: u64,
}

/// What is reported at once.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch {
    pub(super) generation: u64,
    pub(super) runs: Vec<Run>,
    pub(super) refused: u64,
    /// Tells it from others of the same reporter; grows.
    pub(super) number: u64,
}

/// What can be said of a call without asking Redis.
#[derive(Debug)]
pub(super) enum Decision {
    Go(Pass),
    Refuse(Duration),
    /// Nothing; `unsent`: there is something to report, too.
    Ask {
        unsent: bool,
    },
}

impl Local {
    pub(super) fn decide(&mut self, now: Instant) -> Decision {
        self.used = Some(now);
        let (now_ms, generation) = (self.now_ms(now), self.generation());
        if let Some(machine) = &mut self.alone {
            let id = Uuid::now_v7().simple().to_string();
            let answer = machine.permit(now_ms, &id);
            return match answer.verdict {
                Verdict::Refused => Decision::Refuse(answer.wait),
                verdict => {
                    let permit = (verdict == Verdict::Probe).then_some(id);
                    Decision::Go(Pass { generation, permit, alone: Some(answer.generation) })
                }
            };
        }
        match self.seen {
            Some(Seen { answer, at, is_current: true }) if now < at + FRESH => {
                let refuses = answer.state == State::Open || answer.verdict == Verdict::Refused;
                if answer.state == State::Closed {
                    return Decision::Go(Pass { generation, permit: None, alone: None });
                } else if refuses && now < at + answer.wait {
                    return Decision::Refuse(at + answer.wait - now);
                }
            }
            _ => {}
        }
        Decision::Ask { unsent: self.unsent.is_some() || !self.batch.runs.is_empty() }
    }

    /// A hint came: what is known may be over.
    pub(super) fn forget(&mut self) {
        self.hints += 1;
        if let Some(seen) = &mut self.seen {
            seen.is_current = false;
        }
    }

    pub(super) fn wants_sync(&self, now: Instant) -> bool {
        let in_use = self.used.is_some_and(|used| now < used + IN_USE);
        in_use || self.alone.is_some() || self.unsent.is_some() || self.refused > 0 || !self.batch.runs.is_empty()
    }

    pub(super) fn ask(&self, now: Instant) -> Asked {
        Asked { at: now, hints: self.hints }
    }

    /// Takes an answer of Redis; returns whether this replica had gone on alone until now.
    pub(super) fn adopt(&mut self, answer: Answer, asked: Asked) -> bool {
        if self.seen.is_none_or(|seen| seen.at <= asked.at) {
            self.seen = Some(Seen { answer, at: asked.at, is_current: asked.hints == self.hints });
        }
        self.alone.take().is_some()
    }

    /// Redis is away; returns whether that is new.
    pub(super) fn go_alone(&mut self, rules: Rules, now: Instant) -> bool {
        if self.alone.is_some() {
            return false;
        }
        let last = self.seen.map(|Seen { answer, at, .. }| {
            (answer.state, answer.forced, (at + answer.wait).saturating_duration_since(now))
        });
        self.alone = Some(Machine::resume(rules, self.now_ms(now), last));
        true
    }

    pub(super) fn alone_status(&self, name: &Name, now: Instant) -> Option<Breaker> {
        self.alone.as_ref().map(|machine| machine.status(name, self.now_ms(now)))
    }

    /// Counts a call; returns how many are counted and not reported.
    pub(super) fn count(&mut self, generation: u64, run: Run) -> u32 {
        let batch = &mut self.batch;
        if generation > batch.generation {
            // What belongs to a generation that is over changes nothing.
            (batch.generation, batch.runs) = (generation, Vec::new());
        }
        if generation == batch.generation {
            match batch.runs.last_mut() {
                Some(last) if last.outcome == run.outcome => last.calls = last.calls.saturating_add(run.calls),
                _ => {
                    if batch.runs.len() == RUNS_MAX {
                        batch.runs.remove(0);
                    }
                    batch.runs.push(run);
                }
            }
        }
        batch.runs.iter().map(|run| run.calls).fold(0, u32::saturating_add)
    }

    /// Counts a call that the machine let through, also for the time when Redis is back; returns the state then.
    pub(super) fn report_alone(
        &mut self,
        generation: u64,
        pass: &Pass,
        run: Run,
        jitter: u32,
        now: Instant,
    ) -> Option<State> {
        if pass.permit.is_none() {
            self.count(pass.generation, run);
        }
        let now_ms = self.now_ms(now);
        let machine = self.alone.as_mut()?;
        let permit = pass.permit.as_deref().unwrap_or_default();
        Some(machine.report(now_ms, generation, permit, &[run], jitter).state)
    }

    /// The next to be reported: what was cut off before, else what was counted since; none where there is nothing,
    /// unless `anyway`.
    pub(super) fn take_batch(&mut self, anyway: bool, now: Instant) -> Option<(Batch, Asked)> {
        let asked = self.ask(now);
        if self.unsent.is_none() && (anyway || self.refused > 0 || !self.batch.runs.is_empty()) {
            self.number = (self.number + 1).max(self.now_ms(now));
            let next = Batch { generation: self.batch.generation, ..Batch::default() };
            let refused = std::mem::take(&mut self.refused);
            let batch = std::mem::replace(&mut self.batch, next);
            self.unsent = Some(Batch { number: self.number, refused, ..batch });
        }
        self.unsent.clone().map(|batch| (batch, asked))
    }

    /// What was taken arrived.
    pub(super) fn sent(&mut self) {
        self.unsent = None;
    }

    /// The last generation that Redis told.
    fn generation(&self) -> u64 {
        self.seen.map(|seen| seen.answer.generation).unwrap_or_default()
    }

    /// Redis's time, as far as it is known.
    fn now_ms(&self, now: Instant) -> u64 {
        self.seen.map_or(1, |Seen { answer, at, .. }| {
            let since = now.saturating_duration_since(at).as_millis();
            answer.now_ms.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::Outcome;

    const FAILED: Run = Run { calls: 1, outcome: Outcome { failed: true, slow: false } };
    const WELL: Run = Run { calls: 1, outcome: Outcome { failed: false, slow: false } };

    fn told(state: State, wait: Duration) -> Answer {
        let verdict = if state == State::Closed { Verdict::Counted } else { Verdict::Refused };
        Answer { verdict, generation: 7, state, forced: None, wait, moved: false, now_ms: 1_000 }
    }

    #[test]
    fn an_answer_counts_for_a_second_and_no_longer_than_until_the_next_hint() {
        let (mut local, now) = (Local::default(), Instant::now());
        assert!(matches!(local.decide(now), Decision::Ask { unsent: false }));
        local.adopt(told(State::Closed, Duration::ZERO), local.ask(now));
        assert!(matches!(local.decide(now + Duration::from_millis(999)), Decision::Go(Pass { generation: 7, .. })));
        assert!(matches!(local.decide(now + FRESH), Decision::Ask { .. }));
        local.forget();
        assert!(matches!(local.decide(now), Decision::Ask { .. }));
        // An answer that was asked for before the hint came says nothing of what it hinted at.
        let asked = local.ask(now);
        local.forget();
        local.adopt(told(State::Closed, Duration::ZERO), asked);
        assert!(matches!(local.decide(now), Decision::Ask { .. }));
    }

    #[test]
    fn an_open_one_refuses_without_asking_until_its_time_is_over() {
        let (mut local, now) = (Local::default(), Instant::now());
        local.adopt(told(State::Open, Duration::from_millis(300)), local.ask(now));
        let left = Duration::from_millis(100);
        assert!(matches!(local.decide(now + 2 * left), Decision::Refuse(wait) if wait == left));
        assert!(matches!(local.decide(now + 3 * left), Decision::Ask { .. }));
    }

    #[test]
    fn what_was_cut_off_is_said_again_under_its_number_before_what_came_since() {
        let (mut local, now) = (Local::default(), Instant::now());
        assert!(local.take_batch(false, now).is_none());
        assert_eq!((local.count(7, WELL), local.count(7, WELL), local.count(7, FAILED)), (1, 2, 3));
        let (first, _) = local.take_batch(false, now).expect("a batch");
        assert_eq!(first.runs.iter().map(Run::to_string).collect::<String>(), "2s1f");
        local.count(7, WELL);
        let (again, _) = local.take_batch(false, now).expect("the same");
        assert_eq!((again.number, again.runs.len()), (first.number, 2));
        local.sent();
        let (second, _) = local.take_batch(false, now).expect("what came since");
        assert!(second.number > first.number && second.runs == [WELL]);
    }

    #[test]
    fn what_is_not_reported_is_bounded_and_of_one_generation() {
        let (mut local, now) = (Local::default(), Instant::now());
        for _ in 0..RUNS_MAX {
            local.count(7, WELL);
            local.count(7, FAILED);
        }
        assert_eq!(local.batch.runs.len(), RUNS_MAX);
        local.count(6, FAILED);
        assert_eq!(local.count(8, FAILED), 1, "what is over changes nothing");
        assert_eq!(local.take_batch(false, now).expect("a batch").0.generation, 8);
    }

    #[test]
    fn alone_it_goes_on_from_what_was_known_and_keeps_count_for_later() {
        let (mut local, now) = (Local::default(), Instant::now());
        local.adopt(told(State::Open, Duration::from_millis(300)), local.ask(now));
        assert!(local.go_alone(Rules::default(), now) && !local.go_alone(Rules::default(), now));
        assert!(matches!(local.decide(now), Decision::Refuse(_)));
        let Decision::Go(probe) = local.decide(now + FRESH) else { panic!("it may probe") };
        assert!(probe.permit.is_some());
        let state = local.report_alone(probe.alone.expect("alone"), &probe, FAILED, 0, now + FRESH);
        assert_eq!(state, Some(State::Open));
        assert!(local.adopt(told(State::Closed, Duration::ZERO), local.ask(now + FRESH)));
        assert!(local.alone_status(&Name::default_tenant(), now).is_none());
    }
}
