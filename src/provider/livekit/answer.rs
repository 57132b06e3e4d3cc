//! What an answer that is no success means, told without the secrets that it may echo.

use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use crate::provider::ProviderError;

const DETAIL_CHARS_MAX: usize = 200;
const CODE_CHARS_MAX: usize = 40;
const RETRY_AFTER_SECONDS_MAX: u64 = 3600;
/// A run of base64 as long as this may be (a piece of) a token: the shortest signature in use has 43.
const SECRET_CHARS_MIN: usize = 40;
/// `{"` in base64: how every part of a token that is JSON begins.
const JSON_IN_BASE64: &str = "eyJ";

/// Why a call did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallError {
    /// The server knows no such dispatch or participant. Not what a proxy without a route says.
    NotFound {
        /// The server's words.
        detail: String,
    },
    /// Everything else.
    Failed(ProviderError),
}

impl From<ProviderError> for CallError {
    fn from(error: ProviderError) -> Self {
        Self::Failed(error)
    }
}

impl From<CallError> for ProviderError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotFound { detail } => Self::Rejected { code: "not_found".to_owned(), detail },
            CallError::Failed(error) => error,
        }
    }
}

/// The body of an error in the Twirp protocol.
#[derive(Deserialize)]
struct TwirpError {
    code: String,
    #[serde(default)]
    msg: String,
}

/// Reads an answer whose status is not 200.
pub(super) fn refusal(status: StatusCode, retry_after: Option<&str>, body: &[u8]) -> CallError {
    let retry_after = retry_after
        .and_then(|seconds| seconds.trim().parse().ok())
        .map(|seconds: u64| Duration::from_secs(seconds.min(RETRY_AFTER_SECONDS_MAX)));
    match serde_json::from_slice::<TwirpError>(body) {
        Ok(error) if is_code(&error.code) => by_code(status, retry_after, &error),
        _ => by_status(status, retry_after, &String::from_utf8_lossy(body)).into(),
    }
}

/// Reads a failure of the exchange itself.
pub(super) fn unreachable(error: reqwest::Error) -> ProviderError {
    if error.is_timeout() {
        return ProviderError::Timeout;
    }
    let error = error.without_url();
    let mut detail = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        detail = format!("{detail}: {error}");
        cause = error.source();
    }
    ProviderError::Unavailable { detail: scrub(&detail) }
}

/// An answer that cannot be understood.
pub(super) fn garbage(detail: &str) -> ProviderError {
    ProviderError::Garbage { detail: scrub(detail) }
}

fn is_code(code: &str) -> bool {
    !code.is_empty() && code.len() <= CODE_CHARS_MAX && code.bytes().all(|c| c.is_ascii_lowercase() || c == b'_')
}

fn by_code(status: StatusCode, retry_after: Option<Duration>, error: &TwirpError) -> CallError {
    let detail = scrub(&error.msg);
    match error.code.as_str() {
        "not_found" => return CallError::NotFound { detail },
        "resource_exhausted" => ProviderError::RateLimited { retry_after },
        "deadline_exceeded" => ProviderError::Timeout,
        "unauthenticated"
        | "permission_denied"
        | "invalid_argument"
        | "malformed"
        | "bad_route"
        | "already_exists"
        | "failed_precondition"
        | "out_of_range"
        | "unimplemented" => ProviderError::Rejected { code: error.code.clone(), detail },
        "unavailable" | "internal" | "unknown" | "aborted" | "canceled" | "dataloss" | "data_loss" => {
            ProviderError::Unavailable { detail: scrub(&format!("{}: {}", error.code, error.msg)) }
        }
        _ => by_status(status, retry_after, &format!("{}: {}", error.code, error.msg)),
    }
    .into()
}

/// For answers that are not the API's own: of a proxy, or of the check of tokens, which comes before the API.
fn by_status(status: StatusCode, retry_after: Option<Duration>, text: &str) -> ProviderError {
    let detail = scrub(&format!("{}: {text}", status.as_u16()));
    match status.as_u16() {
        401 => ProviderError::Rejected { code: "unauthenticated".to_owned(), detail },
        403 => ProviderError::Rejected { code: "permission_denied".to_owned(), detail },
        408 => ProviderError::Timeout,
        429 => ProviderError::RateLimited { retry_after },
        // A proxy says 404 while it has nobody behind it: no verdict on what was asked.
        404 | 425 => ProviderError::Garbage { detail },
        400..=499 => ProviderError::Rejected { code: format!("http_{}", status.as_u16()), detail },
        500..=599 => ProviderError::Unavailable { detail },
        _ => ProviderError::Garbage { detail },
    }
}

/// Makes a foreign text fit for logs and answers: one short line without anything that may be a token.
///
/// A server echoes a token that it does not accept, whole, and such a token may be valid elsewhere.
fn scrub(text: &str) -> String {
    let mut clean = String::new();
    let mut word = String::new();
    for char in text.chars() {
        if is_of_token(char) {
            word.push(char);
        } else {
            push_word(&mut clean, &mut word);
            clean.push(if is_unprintable(char) { ' ' } else { char });
        }
    }
    push_word(&mut clean, &mut word);
    let clean = clean.trim();
    match clean.char_indices().nth(DETAIL_CHARS_MAX) {
        None => clean.to_owned(),
        Some(_) => clean.chars().take(DETAIL_CHARS_MAX - 1).chain(['…']).collect(),
    }
}

fn push_word(clean: &mut String, word: &mut String) {
    let looks_secret = word.contains(JSON_IN_BASE64)
        || word.split('.').any(|part| part.len() >= SECRET_CHARS_MIN)
        || word.split('.').filter(|part| part.len() >= SECRET_CHARS_MIN / 4).count() >= 3;
    clean.push_str(if looks_secret { "<token>" } else { word });
    word.clear();
}

fn is_of_token(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.')
}

/// Control characters, line and paragraph separators, and those that turn the direction of writing.
fn is_unprintable(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJkZXZrZXkiLCJ2aWRlbyI6e319.\
                         4Hq7mZ9dYx1vWkTn0uRcLbPa2sEoFg3hJi5Kl6MnOpQ";

    fn twirp(status: u16, code: &str) -> CallError {
        let body = format!(r#"{{"code":"{code}","msg":"why","meta":{{"a":"b"}}}}"#);
        refusal(StatusCode::from_u16(status).expect("a status"), None, body.as_bytes())
    }

    fn plain(status: u16, text: &str) -> ProviderError {
        refusal(StatusCode::from_u16(status).expect("a status"), None, text.as_bytes()).into()
    }

    #[test]
    fn the_echoed_token_is_not_told() {
        let text = format!("invalid token: {TOKEN}, error: token signature is invalid: signature is invalid");
        let ProviderError::Rejected { code, detail } = plain(401, &text) else { panic!("not a refusal") };
        assert_eq!(code, "unauthenticated");
        assert_eq!(detail, "401: invalid token: <token>, error: token signature is invalid: signature is invalid");
    }

    #[test]
    fn pieces_of_tokens_are_not_told_either() {
        for end in [20, 36, 37, 60, 75, 90, TOKEN.len()] {
            for text in [&TOKEN[..end], &format!("Bearer {}", &TOKEN[..end]), &format!("x=y_{}\n", &TOKEN[..end])] {
                let shown = scrub(text);
                assert!(shown.ends_with("<token>"), "{shown}");
                assert!(!shown.contains("eyJ"), "{shown}");
            }
        }
        assert_eq!(scrub(TOKEN.rsplit('.').next().expect("a signature")), "<token>");
        assert_eq!(scrub("abcdefghijkl.mnopqrstuvwx.yz0123456789"), "<token>");
        assert_eq!(scrub("eyJhbGciOiJub25lIn0.eyJhIjoxfQ."), "<token>");
    }

    #[test]
    fn ordinary_words_stay() {
        for text in [
            "no handler for path \"/twirp/livekit.AgentDispatchService/Nope\"",
            "dial tcp my-project.livekit.cloud:443, version 1.13.5",
            "dispatch AD_tDqgyEjCH74Q not found",
        ] {
            assert_eq!(scrub(text), text);
        }
    }

    #[test]
    fn a_detail_is_one_short_printable_line() {
        assert_eq!(scrub("a\r\nb\u{1b}[31m\0c\u{202e}d\n"), "a  b [31m c d");
        let long = scrub(&"é ".repeat(500));
        assert_eq!(long.chars().count(), DETAIL_CHARS_MAX);
        assert!(long.ends_with('…'));
        assert_eq!(scrub(&"a ".repeat(100)).chars().count(), 199);
    }

    #[test]
    fn codes_of_the_api() {
        assert_eq!(twirp(404, "not_found"), CallError::NotFound { detail: "why".to_owned() });
        for code in ["unauthenticated", "permission_denied", "invalid_argument", "malformed", "bad_route"] {
            let expected = ProviderError::Rejected { code: code.to_owned(), detail: "why".to_owned() };
            assert_eq!(twirp(400, code), CallError::Failed(expected));
        }
        assert_eq!(twirp(429, "resource_exhausted"), ProviderError::RateLimited { retry_after: None }.into());
        assert_eq!(twirp(408, "deadline_exceeded"), ProviderError::Timeout.into());
        for code in ["unavailable", "internal", "unknown"] {
            let expected = ProviderError::Unavailable { detail: format!("{code}: why") };
            assert_eq!(twirp(503, code), CallError::Failed(expected));
        }
    }

    #[test]
    fn an_unknown_code_is_read_by_its_status() {
        assert!(matches!(twirp(500, "odd"), CallError::Failed(ProviderError::Unavailable { .. })));
        assert!(matches!(twirp(418, "odd"), CallError::Failed(ProviderError::Rejected { .. })));
        let upper = br#"{"code":"NOT FOUND","msg":""}"#;
        assert!(matches!(
            refusal(StatusCode::NOT_FOUND, None, upper),
            CallError::Failed(ProviderError::Garbage { .. })
        ));
    }

    #[test]
    fn answers_of_proxies() {
        assert!(matches!(plain(502, "<html><h1>Bad Gateway</h1></html>"), ProviderError::Unavailable { .. }));
        assert!(matches!(plain(404, "404 page not found\n"), ProviderError::Garbage { .. }));
        assert!(matches!(plain(301, ""), ProviderError::Garbage { .. }));
        assert!(matches!(plain(413, "too large"), ProviderError::Rejected { code, .. } if code == "http_413"));
        assert!(matches!(plain(403, ""), ProviderError::Rejected { code, .. } if code == "permission_denied"));
    }

    #[test]
    fn waiting_times() {
        let wait = |text| match refusal(StatusCode::TOO_MANY_REQUESTS, Some(text), b"slow down") {
            CallError::Failed(ProviderError::RateLimited { retry_after }) => retry_after,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("99999999"), Some(Duration::from_hours(1)));
        assert_eq!(wait("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(wait("-1"), None);
    }
}
