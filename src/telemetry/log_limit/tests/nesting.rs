//! Lines that are logged while a line is formatted or written.

use std::fmt;
use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// Logs, while it is formatted, from the place that formats it.
struct Nested(u32);

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 {
            log_nested(self.0 - 1);
        }
        f.write_str("nested")
    }
}

fn log_nested(depth: u32) {
    tracing::info!("{}", Nested(depth));
}

/// Logs whenever it writes.
struct Chatty(Arc<AtomicU64>);

impl Write for Chatty {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(1, Ordering::SeqCst);
        tracing::error!(line.kept = Empty, "a line is written");
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// For the whole process, as a scope lets no line be logged within another.
#[test]
fn a_line_that_logs_neither_stops_nor_repeats_itself() {
    let (limit, written) = (LogLimit::new(BUDGET, true), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&written);
    let writer = move || OneLine(Chatty(Arc::clone(&counted)));
    let dispatch = dispatch(&settings("info", LogFormat::Json), limit.clone(), writer);
    tracing::dispatcher::set_global_default(dispatch).unwrap();
    let (sender, done) = mpsc::channel();
    let logging = limit.clone();
    thread::spawn(move || {
        log_nested(3);
        logging.finish();
        sender.send(()).unwrap();
    });
    done.recv_timeout(Duration::from_secs(30)).expect("an end");
    let (counts, written) = (limit.counts(), written.load(Ordering::SeqCst));
    assert_eq!(counts.dropped[0], written, "what the writer says of each line is dropped");
    assert_eq!(counts.written.iter().sum::<u64>(), written);
    assert!(counts.written[2] >= 1 && counts.folded[2] >= 3, "{counts:?}");
}
