//! What repeats: what makes a kind, how often it is told, and what is remembered of it.

use super::*;

#[test]
fn a_repeated_line_is_written_once_and_then_told_with_a_count() {
    let desk = Desk::new(true);
    desk.logs(|| {
        for at in 0..25 {
            tracing::warn!(room = at, "supervision failed");
            tracing::warn!(what = if at % 2 == 0 { "one" } else { "two" }, "a round failed");
            desk.limit.tick();
            desk.pass(SECOND);
        }
    });
    let lines = desk.values();
    let of = |text: &str| lines.iter().filter(|line| line["message"] == text).collect::<Vec<_>>();
    assert_eq!(of("supervision failed").len(), 1, "a room makes no kind");
    assert_eq!(of("a round failed").len(), 2, "what failed does");
    let told = of("repeated: supervision failed");
    let counts: Vec<_> = told.iter().filter_map(|line| line["count"].as_u64()).collect();
    assert_eq!(counts, [10, 10]);
    assert_eq!((told[0]["level"].as_str(), told[0]["seconds"].as_u64()), (Some("WARN"), Some(10)));
    assert_eq!(told[0]["of"], module_path!());
    assert_eq!(of("repeated: a round failed")[0]["kind"], "what=one");
    // Quiet for a period: it is news again.
    desk.logs(|| {
        for _ in 0..2 {
            desk.pass(10 * SECOND);
            desk.limit.tick();
        }
        for _ in 0..2 {
            tracing::warn!(what = "one", "a round failed");
        }
    });
    assert!(desk.values().iter().any(|line| line["message"] == "repeated: a round failed"));
    assert_eq!(desk.limit.counts().dropped, [0; 5]);
}

#[test]
fn a_connection_that_stays_away_is_told_first_and_then_every_five_minutes() {
    let desk = Desk::new(true);
    desk.logs(|| {
        for _ in 0..960 {
            tracing::warn!(line.notice = Empty, cause = "refused", "Redis cannot be reached");
            desk.limit.tick();
            desk.pass(SECOND);
        }
        desk.limit.finish();
    });
    let told: Vec<(u64, Option<u64>)> = desk
        .lines()
        .iter()
        .filter(|(_, line)| line.contains("Redis cannot be reached"))
        .map(|(time, line)| (time / SECOND, serde_json::from_str::<Value>(line).unwrap()["count"].as_u64()))
        .collect();
    assert_eq!(told, [(0, None), (300, Some(300)), (600, Some(300)), (900, Some(300)), (960, Some(59))]);
    let summaries = desk.values().iter().filter(|line| line["folded_warn"].is_u64()).count();
    assert_eq!(summaries, 16, "one a minute, and the last");
    assert_eq!(desk.told("folded_warn"), desk.limit.counts().folded[1], "and each line is in one of them");
}

#[test]
fn what_is_told_of_repeated_lines_is_within_the_budget_and_none_of_it_is_lost() {
    let desk = Desk::new(true);
    desk.logs(|| {
        for code in (0..300_u64).chain(0..300) {
            tracing::error!(code, "a failure");
        }
        desk.pass(10 * SECOND);
        (0..500).for_each(|_| plain!(error, "an error"));
        for _ in 0..5 {
            desk.limit.tick();
            desk.pass(SECOND / 2);
        }
    });
    desk.assert_no_second_is_above_the_budget();
    assert_eq!((desk.told("count"), desk.limit.counts().folded[0]), (300, 300));
}

#[test]
fn requests_have_each_their_line_until_there_are_very_many_of_a_kind() {
    let desk = Desk::new(true);
    desk.logs(|| {
        for id in 0..150 {
            tracing::info!(line.sampled = Empty, request_id = id, route = "/v1/dispatches", status = 409, "refused");
        }
        tracing::info!(line.sampled = Empty, request_id = 0, route = "/v1/dispatches", status = 404, "refused");
    });
    let counts = desk.limit.counts();
    assert_eq!((counts.written[2], counts.folded[2]), (101, 50));
}

#[test]
fn without_aggregation_lines_are_written_as_they_come_within_the_budget() {
    let desk = Desk::new(false);
    desk.logs(|| {
        for _ in 0..1000 {
            tracing::info!("the same");
        }
        assert!(desk.limit.finish());
    });
    let counts = desk.limit.counts();
    assert_eq!((counts.written, counts.folded, counts.dropped), ([0, 1, 160, 0, 0], [0; 5], [0, 0, 840, 0, 0]));
    let last = desk.values().pop().unwrap();
    assert_eq!((last["level"].as_str(), last["dropped_info"].as_u64()), (Some("WARN"), Some(840)));
    assert!(last.get("folded_info").is_none(), "nought is left out: {last}");
}

#[test]
fn what_is_remembered_of_repeated_lines_is_bounded() {
    let desk = Desk::new(true);
    desk.logs(|| {
        for code in 0..20_000_u64 {
            tracing::error!(code, "{}", "long ".repeat(100));
        }
        let folds = desk.limit.0.folds.as_ref().unwrap();
        assert!(folds.len() > 500 && folds.len() <= 1024, "{} kinds", folds.len());
        let counts = desk.limit.counts();
        assert_eq!(counts.written[0], 392, "beyond it there is the budget");
        assert_eq!(counts.dropped[0], 20_000 - 392);
        desk.pass(10 * SECOND);
        desk.limit.tick();
        assert_eq!(folds.len(), 0, "what does not come again is forgotten");
    });
}
