//! What a worker writes to its standard error, as lines of our log: bounded, and without what its session is to keep
//! to itself.

use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A longer line is told in pieces.
const LINE_BYTES_MAX: usize = 4096;
/// Shorter values would take words out of every line.
const SECRET_BYTES_MIN: usize = 4;
const MASK: &str = "<secret>";

/// What a worker's log says nothing of.
#[derive(Debug, Clone, Default)]
pub(super) struct Secrets(Arc<Mutex<[Vec<SecretString>; 2]>>);

impl Secrets {
    /// These, and still those before: lines of the last session may be on their way.
    pub(super) fn set(&self, secrets: impl IntoIterator<Item = SecretString>) {
        let kept = secrets.into_iter().filter(|secret| secret.expose_secret().len() >= SECRET_BYTES_MIN);
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        both.swap(0, 1);
        both[0] = kept.collect();
    }

    fn masked(&self, line: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(line).into_owned();
        for secret in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten() {
            // A value of several lines comes in several lines.
            for part in secret.expose_secret().lines().filter(|part| part.len() >= SECRET_BYTES_MIN) {
                if text.contains(part) {
                    text = text.replace(part, MASK);
                }
            }
        }
        text
    }
}

/// Logs what comes, until nothing comes any more.
pub(super) async fn follow(mut from: impl AsyncRead + Unpin, worker: String, pid: u32, secrets: Secrets) {
    let mut line = Vec::with_capacity(LINE_BYTES_MAX);
    let mut bytes = [0; LINE_BYTES_MAX];
    let told = |line: &[u8]| {
        if !line.trim_ascii().is_empty() {
            tracing::info!(target: "greenroom::worker", worker, pid, "{}", secrets.masked(line));
        }
    };
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        for &byte in &bytes[..count] {
            if byte == b'\n' {
                told(&line);
                line.clear();
                continue;
            }
            line.push(byte);
            if line.len() == LINE_BYTES_MAX {
                told(&line);
                line.clear();
            }
        }
    }
    told(&line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_nothing_of_the_session() {
        let secrets = Secrets::default();
        secrets.set(["sk-12345", "of\nseveral lines", "abc"].map(SecretString::from));
        let told = secrets.masked(b"key sk-12345, abc, several lines \xff");
        assert_eq!(told, "key <secret>, abc, <secret> \u{fffd}");
        secrets.set(["another"].map(SecretString::from));
        assert_eq!(secrets.masked(b"key sk-12345 another"), "key <secret> <secret>");
        secrets.set([]);
        assert_eq!(secrets.masked(b"key sk-12345 another"), "key sk-12345 <secret>");
    }
}
