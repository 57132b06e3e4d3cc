//! Logs: one line per event on stderr, as JSON or as text.
//!
//! Whatever an event holds, it stays one line: a line break or a control character that a caller
//! slipped into a name is written as an escape, so nobody forges a second line or drives a terminal. And
//! what looks like a token is masked, wherever it came from: here is the last place to do so.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use tracing::Dispatch;
use tracing::field::Empty;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::log_limit::{LineCounts, LogLimit, Writing};
use super::process;
use crate::config::{Log, LogFormat};
use crate::scrub;

/// How often is told what was held back and is due.
const TICK: Duration = Duration::from_secs(1);
/// How many ticks lie between two looks at the memory.
const MEMORY_TICKS: u32 = 10;
/// How often, at the end, the last summary is tried: the budget has room again after a second.
const LAST_TRIES: u32 = 20;
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// There is one log a process, whatever the number of replicas in it.
static LIMIT: OnceLock<LogLimit> = OnceLock::new();

/// The log of the process. Dropping it tells what was held back until then.
#[derive(Debug)]
pub struct Logs {
    stop: Option<mpsc::Sender<Infallible>>,
    ticker: Option<JoinHandle<()>>,
}

/// Starts logging for the whole process. The filter is a level (`info`) or directives
/// (`info,greenroom::http=debug`); a part that makes no sense is left out.
pub fn init(settings: &Log) -> anyhow::Result<Logs> {
    let limit = LogLimit::new(settings.rate_limit_per_second, settings.aggregation);
    let (stop, stopped) = mpsc::channel();
    let (ticking, memory_bytes_max) = (limit.clone(), settings.memory_bytes_max);
    let ticker = thread::Builder::new().name("log-limit".to_owned());
    let ticker = ticker.spawn(move || tick_until(&stopped, &ticking, memory_bytes_max)).context("a thread")?;
    dispatch(settings, limit.clone(), || OneLine(io::stderr())).try_init().context("there is a log already")?;
    let _ = LIMIT.set(limit);
    std::panic::set_hook(Box::new(log_panic));
    Ok(Logs { stop: Some(stop), ticker: Some(ticker) })
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}

/// How many lines there were; none before the log is started.
pub(super) fn counts() -> LineCounts {
    LIMIT.get().map(LogLimit::counts).unwrap_or_default()
}

/// What formats lines and writes them, under the limit.
pub(super) fn dispatch<W>(settings: &Log, limit: LogLimit, writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse_lossy(&settings.filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match settings.format {
        LogFormat::Json => {
            let json = builder.json().flatten_event(true).with_current_span(true).with_span_list(false);
            json.finish().with(limit).into()
        }
        LogFormat::Text => builder.with_ansi(false).finish().with(limit).into(),
    }
}

/// On a thread of its own, so that neither a busy runtime nor one that has ended keeps anything back.
fn tick_until(stopped: &mpsc::Receiver<Infallible>, limit: &LogLimit, memory_bytes_max: u64) {
    for ticks in 1_u32.. {
        if stopped.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        limit.tick();
        if ticks.is_multiple_of(MEMORY_TICKS) {
            process::warn_of_memory(memory_bytes_max);
        }
    }
    for _ in 0..LAST_TRIES {
        if limit.finish() {
            break;
        }
        thread::sleep(LAST_PAUSE);
    }
}

/// A panic is a line of the log as well, not some lines beside it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    tracing::error!(line.kept = Empty, location, cause = panic.payload_as_str(), "panic");
}

/// A writer that gets one event a call and makes sure that it is one line.
#[derive(Debug)]
pub(super) struct OneLine<W>(pub(super) W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let _writing = Writing::begin();
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        if is_one_line(line) && !scrub::may_hold_a_secret(line) {
            self.0.write_all(event)?;
        } else {
            let mut escaped = String::with_capacity(line.len() + 16);
            for c in scrub::masked(&String::from_utf8_lossy(line)).chars() {
                if scrub::is_hidden(c) {
                    // As JSON has it, for it may stand in a string of JSON. A String takes everything.
                    let _ = write!(escaped, "\\u{:04x}", u32::from(c));
                } else {
                    escaped.push(c);
                }
            }
            escaped.push('\n');
            self.0.write_all(escaped.as_bytes())?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether nothing has to be escaped. Looks at bytes, for it runs on every line: what is hidden is an ASCII
/// control character or starts with 0xC2 (U+0085), 0xD8 (U+061C), 0xE2 (U+2028, U+202E) or 0xEF (U+FEFF).
fn is_one_line(line: &[u8]) -> bool {
    !line.iter().any(|byte| byte.is_ascii_control() || matches!(byte, 0xC2 | 0xD8 | 0xE2 | 0xEF))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Kept {
        type Writer = OneLine<Self>;
        fn make_writer(&'a self) -> OneLine<Self> {
            OneLine(self.clone())
        }
    }

    const EVIL: &str = "a\nb\r\u{1b}[31m\u{2028}\u{85}\u{9b}31m\u{202e}\u{2066}\u{61c}\u{feff}é☕";

    #[test]
    fn text_stays_one_line_whatever_a_field_holds() {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(kept.clone()).finish();
        tracing::subscriber::with_default(subscriber, || tracing::info!(room = %EVIL, "hello {EVIL}"));
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.trim_end_matches('\n').chars().any(scrub::is_hidden), "{text:?}");
        assert!(text.contains("é☕"), "what is harmless stays as it is: {text:?}");
    }

    #[test]
    fn json_stays_one_line_and_keeps_its_fields_on_top() {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::fmt().with_writer(kept.clone()).json().flatten_event(true).finish();
        tracing::subscriber::with_default(subscriber, || tracing::info!(room = %EVIL, "hello"));
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["room"], EVIL);
        assert_eq!(line["message"], "hello");
        assert!(!text.trim_end_matches('\n').chars().any(scrub::is_hidden), "{text:?}");
    }

    #[test]
    fn no_line_tells_a_token() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJkZXZrZXkifQ.4Hq7mZ9dYx1vWkTn0uRcLbPa2sEoFg3hJi5Kl6MnOpQ";
        for json in [true, false] {
            let kept = Kept::default();
            let builder = tracing_subscriber::fmt().with_ansi(false).with_writer(kept.clone());
            let log = || tracing::info!(cause = %format!("Bearer {token}"), "refused: {token}, redis://a:b@c");
            if json {
                tracing::subscriber::with_default(builder.json().finish(), log);
            } else {
                tracing::subscriber::with_default(builder.finish(), log);
            }
            let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            assert!(!text.contains("eyJ") && !text.contains("a:b") && text.contains("refused: <token>, "), "{text}");
            assert!(!json || serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
        }
    }
}
