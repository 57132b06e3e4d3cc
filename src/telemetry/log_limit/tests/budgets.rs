//! The budget's tests: by the clock of the machine, wherever a second begins, and who goes first.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

struct Counting(Arc<AtomicU64>);

impl Write for Counting {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_second_is_above_the_budget_by_the_clock_of_the_machine() {
    let lines = Arc::new(AtomicU64::new(0));
    let (limit, counted) = (LogLimit::new(BUDGET, true), Arc::clone(&lines));
    let writer = move || OneLine(Counting(Arc::clone(&counted)));
    let dispatch = dispatch(&settings("trace", LogFormat::Text), limit.clone(), writer);
    let (start, emitted) = (Instant::now(), <[AtomicU64; 5]>::default());
    thread::scope(|scope| {
        for thread in 0..16 {
            let (dispatch, emitted) = (&dispatch, &emitted);
            scope.spawn(move || {
                with_default(dispatch, || {
                    while start.elapsed() < Duration::from_secs(2) {
                        flood(thread, emitted);
                    }
                });
            });
        }
    });
    let (written, seconds) = (lines.load(Ordering::SeqCst), start.elapsed().as_secs() + 1);
    assert!(written <= u64::from(BUDGET) * seconds, "{written} lines in {seconds} s");
    assert!(written > u64::from(BUDGET), "{written} lines");
    let counts = limit.counts();
    let all = counts.written.iter().chain(&counts.folded).chain(&counts.dropped).sum::<u64>();
    assert_eq!(all, emitted.into_iter().map(AtomicU64::into_inner).sum::<u64>());
    assert_eq!(written, counts.written.iter().sum::<u64>());
}

proptest! {
    #[test]
    fn no_second_is_above_the_budget_wherever_it_begins(
        calls in prop::collection::vec((0_u64..200 * MILLISECOND, 0..4_usize, prop::bool::ANY), 1..400),
    ) {
        const LINES: u32 = 20;
        let budget = Budget::new(LINES);
        let (mut now, mut admitted) = (0, Vec::new());
        for (pause, level, is_kept) in calls {
            now += pause / 4;
            let level = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG][level];
            let rank = if is_kept { Rank::kept(level) } else { Rank::ordinary(level) };
            let counted = admitted.iter().filter(|(time, _)| now - time < SECOND).count();
            if budget.admits(rank, now) {
                admitted.push((now, level));
            } else if level == Level::ERROR {
                prop_assert!(counted >= 19, "an error was dropped beside {counted} lines");
            }
        }
        for (at, (time, _)) in admitted.iter().enumerate().skip(LINES as usize) {
            prop_assert!(time - admitted[at - LINES as usize].0 >= SECOND);
        }
    }
}

#[test]
fn errors_have_the_budget_to_themselves_if_they_go_on() {
    let desk = Desk::new(true);
    let dropped = |desk: &Desk| desk.limit.counts().dropped[0];
    // 390 a second, alone.
    desk.logs(|| {
        for _ in 0..3 * 390 {
            plain!(error, "an error");
            desk.pass(SECOND / 390);
        }
    });
    assert_eq!(dropped(&desk), 0);

    let desk = Desk::new(true);
    let mut lost_at_first = 0;
    desk.logs(|| {
        for at in 0..5 * 380 {
            for _ in 0..20 {
                plain!(warn, "a warning");
                plain!(info, "a word");
            }
            plain!(error, "an error");
            desk.pass(SECOND / 380);
            if at == 380 {
                lost_at_first = dropped(&desk);
            }
        }
    });
    assert_eq!(dropped(&desk), lost_at_first, "after the first second no error is lost");
    assert!(lost_at_first <= 380 - 128, "in the first, what is kept free for them is theirs: {lost_at_first} lost");
    desk.assert_no_second_is_above_the_budget();
}

#[test]
fn what_is_always_kept_goes_before_the_others_of_its_level() {
    let desk = Desk::new(true);
    desk.logs(|| {
        for at in 0..300 {
            for _ in 0..100 {
                plain!(info, "a word");
                plain!(debug, "a detail");
            }
            // 50 a second, and each tells of another room.
            if at % 2 == 0 {
                tracing::info!(line.kept = Empty, room = at, "dispatch made");
            }
            desk.pass(10 * MILLISECOND);
        }
    });
    let kept = desk.values().iter().filter(|line| line["message"] == "dispatch made").count();
    let (counts, values) = (desk.limit.counts(), desk.values());
    assert_eq!(kept, 150, "none is folded, and none is dropped");
    assert!(counts.dropped[2] > 10_000, "{counts:?}");
    assert!(!values[0].to_string().contains("line."), "a mark is not shown: {}", values[0]);
}
