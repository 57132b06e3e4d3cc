//! What an answer that is no success means, told without the secrets that it may echo.

use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use crate::provider::ProviderError;
use crate::scrub::foreign;

const CODE_CHARS_MAX: usize = 40;
const RETRY_AFTER_SECONDS_MAX: u64 = 3600;

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
    ProviderError::Unavailable { detail: foreign(&detail) }
}

/// An answer that cannot be understood.
pub(super) fn garbage(detail: &str) -> ProviderError {
    ProviderError::Garbage { detail: foreign(detail) }
}

fn is_code(code: &str) -> bool {
    !code.is_empty() && code.len() <= CODE_CHARS_MAX && code.bytes().all(|c| c.is_ascii_lowercase() || c == b'_')
}

fn by_code(status: StatusCode, retry_after: Option<Duration>, error: &TwirpError) -> CallError {
    let detail = foreign(&error.msg);
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
        // It is there, and says when it will serve.
        "unavailable" if retry_after.is_some() => ProviderError::RateLimited { retry_after },
        "unavailable" | "internal" | "unknown" | "aborted" | "canceled" | "dataloss" | "data_loss" => {
            ProviderError::Unavailable { detail: foreign(&format!("{}: {}", error.code, error.msg)) }
        }
        _ => by_status(status, retry_after, &format!("{}: {}", error.code, error.msg)),
    }
    .into()
}

/// For answers that are not the API's own: of a proxy, or of the check of tokens, which comes before the API.
fn by_status(status: StatusCode, retry_after: Option<Duration>, text: &str) -> ProviderError {
    let detail = foreign(&format!("{}: {text}", status.as_u16()));
    match status.as_u16() {
        401 => ProviderError::Rejected { code: "unauthenticated".to_owned(), detail },
        403 => ProviderError::Rejected { code: "permission_denied".to_owned(), detail },
        408 => ProviderError::Timeout,
        429 => ProviderError::RateLimited { retry_after },
        // A proxy says 404 while it has nobody behind it: no verdict on what was asked.
        404 | 425 => ProviderError::Garbage { detail },
        400..=499 => ProviderError::Rejected { code: format!("http_{}", status.as_u16()), detail },
        503 if retry_after.is_some() => ProviderError::RateLimited { retry_after },
        500..=599 => ProviderError::Unavailable { detail },
        _ => ProviderError::Garbage { detail },
    }
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
        let away = refusal(StatusCode::SERVICE_UNAVAILABLE, Some("7"), b"<html>back soon</html>");
        let told = ProviderError::RateLimited { retry_after: Some(Duration::from_secs(7)) };
        assert_eq!(away, CallError::Failed(told));
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("99999999"), Some(Duration::from_hours(1)));
        assert_eq!(wait("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(wait("-1"), None);
    }
}
