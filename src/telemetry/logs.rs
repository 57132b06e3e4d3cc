//! Logs: one line per event on stderr, as JSON or as text.
//!
//! Whatever an event holds, it stays one line: a line break or a control character that a caller
//! slipped into a name is written as an escape, so nobody forges a second line or drives a terminal.

use std::fmt::Write as _;
use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::LogFormat;

/// Starts logging for the whole process. `filter` is a level (`info`) or directives
/// (`info,greenroom::http=debug`); a part that makes no sense is left out.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TryInitError> {
    let filter = EnvFilter::builder().parse_lossy(filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| OneLine(io::stderr()));
    match format {
        LogFormat::Json => {
            builder.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()
        }
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
    }
}

/// A writer that gets one event a call and makes sure that it is one line.
#[derive(Debug)]
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        if is_one_line(line) {
            self.0.write_all(event)?;
        } else {
            let mut escaped = String::with_capacity(line.len() + 16);
            for c in String::from_utf8_lossy(line).chars() {
                if breaks_a_line(c) {
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

/// Whether nothing has to be escaped. Looks at bytes, for it runs on every line: all that
/// breaks a line is a control character or starts with 0xC2 (U+0085) or 0xE2 (U+2028).
fn is_one_line(line: &[u8]) -> bool {
    !line.iter().any(|byte| byte.is_ascii_control() || matches!(byte, 0xC2 | 0xE2))
}

fn breaks_a_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

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

    const EVIL: &str = "a\nb\r\u{1b}[31m\u{2028}\u{85}é☕";

    #[test]
    fn text_stays_one_line_whatever_a_field_holds() {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(kept.clone()).finish();
        tracing::subscriber::with_default(subscriber, || tracing::info!(room = %EVIL, "hello {EVIL}"));
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.trim_end_matches('\n').chars().any(breaks_a_line), "{text:?}");
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
    }
}
