//! The scripts of breakers on a real Redis, and that the rules in Rust are the same. Their faults are in `store_faults`.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

use std::time::Duration;

use greenroom::breaker::{Answer, Breaker, Forced, Machine, Outcome, Rules, Run, State, Verdict};
use greenroom::idempotency::Once;
use greenroom::name::Name;
use greenroom::store::keys::shard_of_breaker;
use greenroom::store::{Asked, Refusal, Report, StoreError, Wanted};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::support::scene::{Scene, refusal};

const SUCCESS: Outcome = Outcome { failed: false, slow: false };
const FAILURE: Outcome = Outcome { failed: true, slow: false };
const SLOW: Outcome = Outcome { failed: false, slow: true };
const RULES: Rules = Rules {
    failures_max: 3,
    failure_percent: 50,
    slow_percent: 50,
    slow_ms: 1_000,
    calls_min: 10,
    window_ms: 10_000,
    open_ms: 30_000,
    open_ms_max: 100_000,
    probes_max: 2,
    probe_ms: 5_000,
    successes_min: 2,
};

/// One breaker on a scene, with the time standing still.
struct Case {
    scene: Scene,
    tenant: Name,
    name: Name,
    rules: Rules,
}

fn runs(runs: &[(u32, Outcome)]) -> Vec<Run> {
    runs.iter().map(|&(calls, outcome)| Run { calls, outcome }).collect()
}

impl Case {
    async fn open() -> Self {
        let (tenant, name) = (Name::default_tenant(), Name::strict("crm").expect("a name"));
        Self { scene: Scene::open().await, tenant, name, rules: RULES }
    }

    fn asked<'a>(&'a self, rules: Wanted<'a>, once: Option<&'a Once>) -> Asked<'a> {
        Asked { tenant: &self.tenant, name: &self.name, rules, once }
    }

    async fn permit(&self, id: &str) -> Answer {
        self.scene.store.breaker_permit(self.asked(Wanted::These(&self.rules), None), id, 100).await.expect("an answer")
    }

    async fn report(&self, report: &Report<'_>) -> Answer {
        self.scene.store.breaker_report(self.asked(Wanted::Own, None), report).await.expect("an answer")
    }

    async fn ended(&self, generation: u64, some: &[(u32, Outcome)]) -> Answer {
        self.report(&Report { generation, runs: &runs(some), ..Report::default() }).await
    }

    async fn probed(&self, generation: u64, permit: &str, outcome: Outcome) -> Answer {
        let report = Report { generation, permit: Some(permit), runs: &runs(&[(1, outcome)]), ..Report::default() };
        self.report(&report).await
    }

    async fn force(&self, forced: Option<Forced>, lasts: Option<Duration>) -> Breaker {
        let forced = self.scene.store.force_breaker(self.asked(Wanted::Own, None), forced, lasts, "because").await;
        forced.expect("a breaker")
    }

    async fn status(&self) -> Breaker {
        self.scene.store.breaker(&self.tenant, &self.name).await.expect("an answer").expect("a breaker")
    }

    fn key(&self) -> String {
        shard_of_breaker(&self.tenant, &self.name, self.scene.store.shards()).breaker(&self.tenant, &self.name)
    }

    /// A breaker that has just opened.
    async fn opened() -> (Self, Answer) {
        let case = Self::open().await;
        let closed = case.permit("a").await;
        let open = case.ended(closed.generation, &[(3, FAILURE)]).await;
        assert_eq!((open.state, open.moved), (State::Open, true));
        (case, open)
    }
}

#[tokio::test]
async fn failures_in_a_row_open_a_breaker_and_probes_that_succeed_close_it() {
    let case = Case::open().await;
    let closed = case.permit("a").await;
    assert_eq!((closed.verdict, closed.state, closed.moved), (Verdict::Allowed, State::Closed, false));
    let still = case.ended(closed.generation, &[(2, FAILURE), (1, SUCCESS), (2, FAILURE)]).await;
    assert_eq!((still.verdict, still.state, still.generation), (Verdict::Counted, State::Closed, closed.generation));
    let open = case.ended(closed.generation, &[(1, FAILURE)]).await;
    assert_eq!((open.state, open.wait), (State::Open, Duration::from_secs(30)));
    assert!(open.moved && open.generation > closed.generation);

    let refused = case.permit("b").await;
    assert_eq!((refused.verdict, refused.wait), (Verdict::Refused, Duration::from_secs(30)));
    case.scene.pass(Duration::from_secs(30));
    let (one, two, three) = (case.permit("b").await, case.permit("c").await, case.permit("d").await);
    assert_eq!((one.verdict, one.state, one.wait), (Verdict::Probe, State::HalfOpen, Duration::from_secs(5)));
    assert_eq!((two.verdict, three.verdict, three.wait), (Verdict::Probe, Verdict::Refused, Duration::from_secs(1)));
    assert_eq!(case.permit("c").await.verdict, Verdict::Probe, "asked twice, it is the same probe");
    assert_eq!(case.status().await.probes_until_ms.len(), 2);

    assert_eq!(case.probed(one.generation, "b", SUCCESS).await.state, State::HalfOpen);
    assert_eq!(case.probed(one.generation, "b", SUCCESS).await.verdict, Verdict::Stale, "said twice, it counts once");
    let closed = case.probed(one.generation, "c", SUCCESS).await;
    assert_eq!((closed.state, closed.moved), (State::Closed, true));
    let status = case.status().await;
    let past: Vec<_> = status.history.iter().map(|it| (it.state, it.reason.as_str())).collect();
    let expected = [(State::Closed, "recovered"), (State::HalfOpen, "probing"), (State::Open, "failures")];
    assert_eq!(past, expected);
    assert_eq!((status.total.calls, status.total.failures, status.refused, status.opened), (8, 5, 2, 1));
    assert_eq!((status.window.calls, status.streak), (0, 0), "it begins anew");
    let shard = shard_of_breaker(&case.tenant, &case.name, case.scene.store.shards());
    let events: u64 = case.scene.run(&["XLEN", &shard.events()]).await;
    assert_eq!(events, 3);
    case.scene.check_keys().await;
}

#[tokio::test]
async fn a_share_of_failures_or_of_slow_calls_opens_it_once_there_are_enough() {
    for (outcome, reason) in [(FAILURE, "failure_rate"), (SLOW, "slow_calls")] {
        let case = Case::open().await;
        let closed = case.permit("a").await;
        let one_of_two = [(1, outcome), (1, SUCCESS)];
        for _ in 0..4 {
            assert_eq!(case.ended(closed.generation, &one_of_two).await.state, State::Closed, "{reason}");
            // So that the first ones leave the window.
            case.scene.pass(Duration::from_secs(2));
        }
        case.scene.pass(Duration::from_secs(5));
        let half = [(1, outcome), (1, SUCCESS), (1, outcome), (1, SUCCESS), (1, outcome)];
        assert_eq!(case.ended(closed.generation, &half).await.state, State::Closed, "too few in the window: {reason}");
        assert_eq!(case.status().await.window.calls, 9);
        assert_eq!(case.ended(closed.generation, &[(1, SUCCESS)]).await.state, State::Open, "{reason}");
        assert_eq!(case.status().await.reason, reason);
    }
}

#[tokio::test]
async fn the_script_judges_what_is_slow_where_it_is_told_how_long_it_took() {
    let case = Case::open().await;
    let closed = case.permit("a").await;
    for ms in [999, 1_000] {
        let took = Some(Duration::from_millis(ms));
        let report = Report { generation: closed.generation, runs: &runs(&[(1, SUCCESS)]), took, ..Report::default() };
        case.report(&report).await;
    }
    assert_eq!(case.status().await.total.slow, 1);
}

#[tokio::test]
async fn a_probe_that_fails_opens_it_for_twice_as_long_within_bounds() {
    let (case, mut open) = Case::opened().await;
    for seconds in [60, 100, 100] {
        case.scene.pass(open.wait);
        let probe = case.permit("p").await;
        open = case.probed(probe.generation, "p", FAILURE).await;
        assert_eq!((open.state, open.wait), (State::Open, Duration::from_secs(seconds)));
    }
    case.scene.pass(open.wait);
    let probe = case.permit("p").await;
    let report = Report {
        generation: probe.generation,
        permit: Some("p"),
        runs: &runs(&[(1, SLOW)]),
        jitter: 200,
        ..Report::default()
    };
    let open = case.report(&report).await;
    assert_eq!(open.wait, Duration::from_secs(80), "jitter shortens it");
    assert_eq!(case.status().await.reason, "probe_slow");
}

#[tokio::test]
async fn a_probe_that_nobody_reports_lapses_and_its_late_report_changes_nothing() {
    let (case, open) = Case::opened().await;
    case.scene.pass(open.wait);
    let probe = case.permit("killed").await;
    case.permit("other").await;
    case.scene.pass(Duration::from_millis(4_999));
    assert_eq!(case.permit("next").await.verdict, Verdict::Refused);
    case.scene.pass(Duration::from_millis(1));
    assert_eq!(case.permit("next").await.verdict, Verdict::Probe, "its place is free");
    let late = case.probed(probe.generation, "killed", FAILURE).await;
    assert_eq!((late.verdict, late.state), (Verdict::Stale, State::HalfOpen));
    assert_eq!(case.probed(probe.generation, "next", SUCCESS).await.verdict, Verdict::Counted);
}

#[tokio::test]
async fn what_belongs_to_an_older_generation_changes_nothing() {
    let (case, open) = Case::opened().await;
    let closed_generation = case.status().await.generation - 1;
    case.scene.pass(open.wait);
    let probe = case.permit("p").await;
    let before = case.scene.dump().await;
    for generation in [0, closed_generation, open.generation, probe.generation + 1] {
        let late = case.ended(generation, &[(9, FAILURE)]).await;
        assert_eq!((late.verdict, late.state), (Verdict::Stale, State::HalfOpen));
        assert_eq!(case.probed(generation, "p", SUCCESS).await.verdict, Verdict::Stale);
    }
    assert_eq!(case.scene.dump().await, before);
}

#[tokio::test]
async fn what_a_reporter_says_twice_counts_once() {
    let case = Case::open().await;
    let generation = case.permit("a").await.generation;
    let said = |number| Report {
        generation,
        runs: &[Run { calls: 2, outcome: FAILURE }],
        said_by: Some(("r", number)),
        refused: 3,
        ..Report::default()
    };
    case.report(&said(7)).await;
    assert_eq!(case.report(&said(7)).await.verdict, Verdict::Stale);
    let status = case.status().await;
    assert_eq!((status.streak, status.refused, status.state), (2, 3, State::Closed));
    assert_eq!(case.report(&said(8)).await.state, State::Open);
    // Of many reporters the ones that spoke last are remembered.
    for reporter in 0..100_u64 {
        let name = reporter.to_string();
        case.report(&Report { said_by: Some((&name, 10 + reporter)), ..Report::default() }).await;
    }
    let fields: u64 = case.scene.run(&["HLEN", &case.key()]).await;
    assert!(fields < 110, "{fields}");
}

#[tokio::test]
async fn a_forced_state_holds_whatever_the_calls_show() {
    let case = Case::open().await;
    let closed = case.permit("a").await;
    for forced in [Forced::Closed, Forced::Disabled] {
        let held = case.force(Some(forced), None).await;
        assert_eq!((held.state, held.forced, held.note.as_deref()), (State::Closed, Some(forced), Some("because")));
        assert_eq!(case.ended(held.generation, &[(50, FAILURE)]).await.state, State::Closed);
        assert_eq!(case.status().await.streak, 50, "it is counted");
        let ttl: i64 = case.scene.run(&["TTL", &case.key()]).await;
        assert_eq!(ttl, -1, "what is held is not forgotten");
    }
    assert_eq!(case.ended(closed.generation, &[(3, FAILURE)]).await.verdict, Verdict::Stale);
    let open = case.force(Some(Forced::Open), Some(Duration::from_mins(1))).await;
    assert_eq!((open.state, open.open_until_ms), (State::Open, None));
    case.scene.pass(Duration::from_secs(59));
    let refused = case.permit("b").await;
    assert_eq!(
        (refused.verdict, refused.wait, refused.forced),
        (Verdict::Refused, Duration::from_secs(1), Some(Forced::Open))
    );
    case.scene.pass(Duration::from_secs(1));
    let probe = case.permit("b").await;
    assert_eq!((probe.verdict, probe.forced), (Verdict::Probe, None), "what was held open is probed first");
    case.force(Some(Forced::Disabled), None).await;
    let free = case.force(None, None).await;
    assert_eq!((free.state, free.forced, free.note), (State::Closed, None, None));
    assert_eq!(case.force(None, None).await.generation, free.generation, "said twice, it is one release");
    case.scene.check_keys().await;
}

#[tokio::test]
async fn a_reset_breaker_is_as_new_and_keeps_its_past() {
    let (case, open) = Case::opened().await;
    let reset = case.scene.store.reset_breaker(case.asked(Wanted::Own, None)).await.expect("a breaker");
    assert_eq!((reset.state, reset.total.calls, reset.opened, reset.rules), (State::Closed, 0, 0, RULES));
    assert!(reset.generation > open.generation && reset.history.len() == 2);
    for _ in 0..30 {
        case.scene.store.reset_breaker(case.asked(Wanted::Own, None)).await.expect("a breaker");
    }
    let past = case.status().await.history;
    assert!(past.len() == 20 && past.windows(2).all(|two| two[0].at_ms >= two[1].at_ms), "bounded, newest first");
    assert!(past.iter().all(|it| it.reason == "reset"));
}

#[tokio::test]
async fn what_there_is_not_is_told_and_what_is_too_many_refused() {
    let case = Case::open().await;
    let (store, own) = (&case.scene.store, case.asked(Wanted::Own, None));
    assert_eq!(refusal(store.breaker_permit(own, "a", 100).await), Refusal::NotFound);
    assert_eq!(refusal(store.breaker_report(own, &Report::default()).await), Refusal::NotFound);
    assert_eq!(refusal(store.force_breaker(own, None, None, "").await), Refusal::NotFound);
    assert_eq!(refusal(store.reset_breaker(own).await), Refusal::NotFound);
    assert!(store.breaker(&case.tenant, &case.name).await.expect("an answer").is_none());
    let mut made = Vec::new();
    let mut refused = 0;
    for n in 0..40 {
        let name = Name::strict(format!("b{n}")).expect("a name");
        let asked = Asked { tenant: &case.tenant, name: &name, rules: Wanted::OwnOr(&RULES), once: None };
        match store.breaker_permit(asked, "a", 5).await {
            Ok(_) => made.push(name),
            Err(StoreError::Refused(Refusal::TooMany)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((made.len(), refused), (20, 20), "five in each of four shards");
    // One that was forgotten makes room.
    let shard = shard_of_breaker(&case.tenant, &made[0], store.shards());
    case.scene.run::<u8>(&["DEL", &shard.breaker(&case.tenant, &made[0])]).await;
    let mut next = (40..).map(|n| Name::strict(format!("b{n}")).expect("a name"));
    let next = next.find(|name| shard_of_breaker(&case.tenant, name, store.shards()) == shard);
    let next = next.expect("a name of the shard");
    let asked = Asked { tenant: &case.tenant, name: &next, rules: Wanted::OwnOr(&RULES), once: None };
    store.breaker_permit(asked, "a", 5).await.expect("there is room");
    let page = store.page_of_breakers(shard, &case.tenant, None, 10).await.expect("a page");
    assert_eq!(page.iter().filter(|(_, breaker)| breaker.is_some()).count(), 5);
    case.scene.check_keys().await;
}

#[tokio::test]
async fn a_request_with_a_key_is_done_once() {
    let case = Case::open().await;
    let generation = case.permit("a").await.generation;
    let once = Once::new("ann", "report", "crm", "k", b"1");
    let report = Report { generation, runs: &runs(&[(2, FAILURE)]), ..Report::default() };
    for _ in 0..3 {
        let asked = case.asked(Wanted::Own, Some(&once));
        let answer = case.scene.store.breaker_report(asked, &report).await.expect("an answer");
        assert_eq!((answer.verdict, answer.state), (Verdict::Counted, State::Closed));
    }
    assert_eq!(case.status().await.streak, 2);
    let other = Once::new("ann", "report", "crm", "k", b"2");
    let again = case.scene.store.breaker_report(case.asked(Wanted::Own, Some(&other)), &report).await;
    assert_eq!(refusal(again), Refusal::KeyReused);
    for verb in ["force", "reset", "permit"] {
        let once = Once::new("ann", verb, "crm", "k", b"1");
        let asked = case.asked(Wanted::Own, Some(&once));
        let mut seen = Vec::new();
        for _ in 0..2 {
            case.scene.pass(Duration::from_millis(5));
            seen.push(match verb {
                "force" => {
                    let held = case.scene.store.force_breaker(asked, Some(Forced::Closed), None, "").await;
                    held.expect("a breaker").generation
                }
                "reset" => case.scene.store.reset_breaker(asked).await.expect("a breaker").generation,
                _ => case.scene.store.breaker_permit(asked, "x", 9).await.expect("an answer").now_ms,
            });
        }
        assert_eq!(seen[0], seen[1], "{verb}");
    }
    case.scene.check_keys().await;
}

/// One step of the play.
#[derive(Debug, Clone)]
enum Op {
    Permit(u8),
    Report { now: bool, permit: u8, runs: Vec<(u32, bool, bool)>, jitter: u32 },
    Force(Option<Forced>, Option<u64>),
    Reset,
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let run = (1..4_u32, any::<bool>(), any::<bool>());
    let forced =
        prop_oneof![Just(None), Just(Some(Forced::Open)), Just(Some(Forced::Closed)), Just(Some(Forced::Disabled))];
    prop_oneof![
        4 => (0..5_u8).prop_map(Op::Permit),
        6 => (prop::bool::weighted(0.85), 0..5_u8, prop::collection::vec(run, 1..4), 0..=200_u32)
            .prop_map(|(now, permit, runs, jitter)| Op::Report { now, permit, runs, jitter }),
        1 => (forced, prop::option::of(100..5_000_u64)).prop_map(|(forced, lasts)| Op::Force(forced, lasts)),
        1 => Just(Op::Reset),
        3 => (1..4_000_u64).prop_map(Op::Pass),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let counts = (0..5_u32, 0..=100_u32, 0..=100_u32, 1..8_u32, 1..4_u32, 1..4_u32);
    let times = (1_000..5_000_u32, 500..3_000_u32, 3_000..9_000_u32, 100..3_000_u32);
    (counts, times).prop_map(|(counts, times)| Rules {
        failures_max: counts.0,
        failure_percent: counts.1,
        slow_percent: counts.2,
        slow_ms: 1_000,
        calls_min: counts.3,
        window_ms: times.0,
        open_ms: times.1,
        open_ms_max: times.2,
        probes_max: counts.4,
        probe_ms: times.3,
        successes_min: counts.5,
    })
}

impl Case {
    /// Plays the steps on Redis and on a machine, and compares after each.
    async fn play(&mut self, rules: Rules, ops: &[Op]) -> Result<(), TestCaseError> {
        self.scene.run::<()>(&["FLUSHALL"]).await;
        self.scene.restart_time();
        self.rules = rules;
        self.permit("first").await;
        let mut machine = Machine::new(rules, self.scene.now());
        let mut generations = vec![machine.status(&self.name, self.scene.now()).generation];
        for op in ops {
            let (now, last) = (self.scene.now(), *generations.last().expect("one"));
            let (theirs, ours) = match op {
                Op::Permit(id) => {
                    let id = format!("p{id}");
                    (Some(self.permit(&id).await), Some(machine.permit(now, &id)))
                }
                Op::Report { now: is_now, permit, runs: some, jitter } => {
                    let generation = if *is_now { last } else { generations[0] };
                    let permit = format!("p{permit}");
                    let some: Vec<_> =
                        some.iter().map(|&(calls, failed, slow)| (calls, Outcome { failed, slow })).collect();
                    let some = runs(&some);
                    let report =
                        Report { generation, permit: Some(&permit), runs: &some, jitter: *jitter, ..Report::default() };
                    let theirs = self.report(&report).await;
                    (Some(theirs), Some(machine.report(now, generation, &permit, &some, *jitter)))
                }
                Op::Force(forced, lasts) => {
                    self.force(*forced, lasts.map(Duration::from_millis)).await;
                    machine.force(now, *forced, *lasts, "because");
                    (None, None)
                }
                Op::Reset => {
                    self.scene.store.reset_breaker(self.asked(Wanted::Own, None)).await.expect("a breaker");
                    machine.reset(now);
                    (None, None)
                }
                Op::Pass(ms) => {
                    self.scene.pass(Duration::from_millis(*ms));
                    (None, None)
                }
            };
            prop_assert_eq!(theirs, ours, "{:?}", op);
            let now = self.scene.now();
            let (theirs, ours) = (self.status().await, machine.status(&self.name, now));
            prop_assert_eq!(&theirs, &Breaker { degraded: false, ..ours }, "after {:?}", op);
            prop_assert!(theirs.probes_until_ms.len() <= rules.probes_max as usize);
            prop_assert!(theirs.generation >= *generations.last().expect("one"), "a generation went back");
            if theirs.generation != *generations.last().expect("one") {
                generations.push(theirs.generation);
            }
        }
        Ok(())
    }
}

#[test]
fn the_rules_in_lua_and_in_rust_are_the_same() {
    let cases = crate::support::size_of_test("GREENROOM_TEST_CASES", 60).try_into().expect("a number");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut case = runtime.block_on(Case::open());
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let steps = (rules(), prop::collection::vec(op(), 1..60));
    let case = std::cell::RefCell::new(&mut case);
    let played = runner.run(&steps, |(rules, ops)| runtime.block_on(case.borrow_mut().play(rules, &ops)));
    if let Err(error) = played {
        panic!("{error}");
    }
}
