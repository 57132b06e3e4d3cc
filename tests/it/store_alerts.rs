//! The scripts of alerts: counts of all replicas in one window, rules raised and cleared once. Their faults are in
//! `store_faults`.

use std::time::Duration;

use greenroom::alert::{AlertRules, AlertState, Change, Counts, Judged, Reading, Rule};
use greenroom::idempotency::Once;
use greenroom::store::Refusal;
use greenroom::store::keys::Shard;

use crate::support::scene::{BEGIN_MS, Scene, TERM, refusal};

pub(crate) const WINDOW: Duration = Duration::from_mins(5);
pub(crate) const CLEAR_AFTER: Duration = Duration::from_mins(1);
pub(crate) const RULES: AlertRules = AlertRules {
    agents_live_max: 20,
    cleanup_failures_percent_max: 10,
    cleanups_min: 5,
    logs_dropped_percent_max: 5,
    log_lines_min: 100,
    providers_failing_max: 0,
    operation_errors_percent_max: 10,
    operations_min: 20,
    window: WINDOW,
    clear_after: CLEAR_AFTER,
    interval: Duration::from_secs(5),
};

pub(crate) fn agents(agents: u64) -> [Reading; 1] {
    let rule = Rule::AgentsLive;
    [Reading { rule, value_milli: agents * 1000, threshold_milli: 20_000, calm_milli: 16_000 }]
}

async fn add(scene: &Scene, replica: &str, number: u64, operations: u64) -> u64 {
    let new = Counts { operations, operation_errors: operations / 2, ..Counts::default() };
    let sums = scene.store.count_for_alerts(replica, number, &new, WINDOW).await.expect("sums");
    assert_eq!(sums.operation_errors, sums.operations / 2);
    assert_eq!((sums.cleanups, sums.log_lines, sums.providers_failing), (0, 0, 0));
    sums.operations
}

/// Judges by this many agents; what is told.
async fn judge(scene: &Scene, term: u64, call: &str, live: u64) -> (bool, Option<Change>) {
    let judged = scene.store.judge_alerts(term, call, &agents(live), CLEAR_AFTER).await.expect("a judgement");
    let [Judged { rule: Rule::AgentsLive, rings, change }] = judged[..] else { panic!("{judged:?}") };
    (rings, change)
}

async fn events(scene: &Scene) -> u64 {
    scene.run(&["XLEN", &Shard(0).events()]).await
}

#[tokio::test]
async fn counts_of_all_replicas_are_one_sum_and_a_call_counts_once() {
    let scene = Scene::open().await;
    assert_eq!(add(&scene, "a", 1, 10).await, 10);
    assert_eq!(add(&scene, "b", 1, 4).await, 14);
    assert_eq!(add(&scene, "a", 1, 10).await, 14, "sent twice, it counts once");
    assert_eq!(add(&scene, "a", 2, 2).await, 16);
    assert_eq!(add(&scene, "a", 1, 10).await, 16, "nor later");
    scene.check_keys().await;
    // The window moves on; whoever is not heard of for its length is forgotten with its counts.
    scene.pass(Duration::from_secs(290));
    assert_eq!(add(&scene, "c", 1, 2).await, 18);
    scene.pass(Duration::from_secs(10));
    assert_eq!(add(&scene, "c", 2, 0).await, 2);
    let fields: Vec<String> = scene.run(&["HKEYS", &Shard(0).alert_counts()]).await;
    assert!(fields.iter().all(|field| !field.ends_with(":a") && !field.ends_with(":b")), "{fields:?}");
    scene.pass(WINDOW);
    assert_eq!(add(&scene, "c", 3, 0).await, 0);
    scene.set_time(BEGIN_MS);
    assert_eq!(add(&scene, "c", 4, 2).await, 2, "after a clock that went back, too");
}

#[tokio::test]
async fn the_window_is_bounded_however_long_it_counts() {
    let scene = Scene::open().await;
    for n in 1..=400 {
        add(&scene, &format!("replica-{}", n % 7), n, 2).await;
        scene.pass(Duration::from_secs(3));
    }
    assert!(add(&scene, "x", 1, 0).await <= 202);
    let fields: u64 = scene.run(&["HLEN", &Shard(0).alert_counts()]).await;
    assert!(fields <= 31 * 2 + 8, "{fields}");
}

#[tokio::test]
async fn a_rule_is_raised_and_cleared_once_and_a_value_that_wavers_wakes_nobody_twice() {
    let scene = Scene::open().await;
    assert_eq!(judge(&scene, TERM, "1", 20).await, (false, None));
    assert_eq!(judge(&scene, TERM, "2", 21).await, (true, Some(Change::Raised)));
    assert_eq!(judge(&scene, TERM, "2", 21).await, (true, Some(Change::Raised)), "the same call is told the same");
    assert_eq!(events(&scene).await, 1);
    assert_eq!(judge(&scene, TERM, "3", 25).await, (true, None), "the next one is told nothing");
    for (n, live) in [(4, 19), (5, 21), (6, 17), (7, 22)] {
        scene.pass(CLEAR_AFTER);
        assert_eq!(judge(&scene, TERM, &n.to_string(), live).await, (true, None), "{live}: not calm");
    }
    assert_eq!(judge(&scene, TERM, "8", 16).await, (true, None), "calm, and not for long enough");
    scene.pass(Duration::from_millis(59_999));
    assert_eq!(judge(&scene, TERM, "9", 10).await, (true, None));
    assert_eq!(judge(&scene, TERM, "10", 17).await, (true, None), "it begins anew");
    assert_eq!(judge(&scene, TERM, "11", 16).await, (true, None));
    scene.pass(CLEAR_AFTER);
    assert_eq!(judge(&scene, TERM, "12", 16).await, (false, Some(Change::Cleared)));
    assert_eq!(events(&scene).await, 2);
    let [alert] = &scene.store.alerts(&[Rule::AgentsLive], &RULES).await.expect("the rule")[..] else { panic!() };
    assert_eq!((alert.state, alert.value_milli, alert.threshold_milli), (AlertState::Ok, Some(16_000), 20_000));
    assert_eq!((alert.raised_at_ms, alert.cleared_at_ms), (Some(BEGIN_MS), Some(scene.now())));
    assert_eq!(judge(&scene, TERM, "13", 21).await, (true, Some(Change::Raised)), "another time");
    scene.check_keys().await;
}

#[tokio::test]
async fn a_leader_whose_term_is_over_judges_nothing() {
    let scene = Scene::open().await;
    scene.store.begin_term(Shard(0), TERM + 1).await.expect("a term");
    let stale = scene.store.judge_alerts(TERM, "1", &agents(30), CLEAR_AFTER).await;
    assert_eq!(refusal(stale), Refusal::StaleTerm);
    assert_eq!(judge(&scene, TERM + 1, "2", 30).await, (true, Some(Change::Raised)));
}

#[tokio::test]
async fn who_snoozes_is_told_when_it_is_over_if_it_still_holds() {
    let scene = Scene::open().await;
    let snooze = async |length: Option<u64>| {
        let length = length.map(Duration::from_secs);
        scene.store.snooze_alert(Rule::AgentsLive, length, "settings", None).await.expect("it is snoozed");
    };
    snooze(Some(600)).await;
    assert_eq!(judge(&scene, TERM, "1", 30).await, (false, None), "raised, and nobody is told");
    let [alert] = &scene.store.alerts(&[Rule::AgentsLive], &RULES).await.expect("the rule")[..] else { panic!() };
    assert_eq!((alert.state, alert.snoozed_until_ms), (AlertState::Raised, Some(scene.now() + 600_000)));
    scene.pass(Duration::from_mins(10));
    assert_eq!(judge(&scene, TERM, "2", 30).await, (true, Some(Change::Raised)));
    // What was told stays told.
    snooze(Some(600)).await;
    assert_eq!(judge(&scene, TERM, "3", 30).await, (false, None));
    snooze(None).await;
    snooze(None).await;
    assert_eq!(judge(&scene, TERM, "4", 30).await, (true, None));
    // What came and went meanwhile, nobody hears of.
    judge(&scene, TERM, "5", 0).await;
    scene.pass(CLEAR_AFTER);
    assert_eq!(judge(&scene, TERM, "6", 0).await, (false, Some(Change::Cleared)));
    let before = events(&scene).await;
    snooze(Some(600)).await;
    judge(&scene, TERM, "7", 30).await;
    judge(&scene, TERM, "8", 0).await;
    scene.pass(CLEAR_AFTER);
    assert_eq!(judge(&scene, TERM, "9", 0).await, (false, None));
    assert_eq!(events(&scene).await, before + 1, "the snooze itself alone");
    let (one, other) = (Once::new("ann", "s", "", "k", b"1"), Once::new("ann", "s", "", "k", b"2"));
    let keyed =
        async |once: &Once| scene.store.snooze_alert(Rule::AgentsLive, Some(WINDOW), "settings", Some(once)).await;
    keyed(&one).await.expect("it is snoozed");
    assert_eq!(refusal(keyed(&other).await), Refusal::KeyReused);
    scene.check_keys().await;
}
