//! How long a request may take: the route's own time, or less where the caller says that it waits no longer.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::problem::{Code, Problem};
use crate::policy::Deadline;

/// The header in which a caller says how long it still waits, in milliseconds.
pub(super) const REQUEST_TIMEOUT: &str = "X-Request-Timeout-Ms";

/// The most that can be said: ten minutes. No route takes as long.
pub(super) const TIMEOUT_MS_MAX: u64 = 600_000;

/// When the answer must be there, for handlers that hand it down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until(pub(super) Deadline);

impl<S: Sync> FromRequestParts<S> for Until {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let known = parts.extensions.get::<Deadline>().copied();
        known.map(Self).ok_or_else(|| Problem::internal("a request has no deadline"))
    }
}

/// How long the caller waits, where it says so.
pub(super) fn asked(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let mut values = headers.get_all(REQUEST_TIMEOUT).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit()));
    let ms = digits.and_then(|digits| digits.parse().ok()).filter(|ms| (1..=TIMEOUT_MS_MAX).contains(ms));
    match (ms, values.next()) {
        (Some(ms), None) => Ok(Some(Duration::from_millis(ms))),
        _ => Err(Problem::new(
            Code::MalformedRequest,
            "`X-Request-Timeout-Ms` must be one header, a whole number of 1 to 600000",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_one_whole_number_within_bounds() {
        let read = |values: &[&str]| {
            let headers = values.iter().map(|value| (REQUEST_TIMEOUT.parse().unwrap(), value.parse().unwrap()));
            asked(&headers.collect::<HeaderMap>()).map(|asked| asked.map(|asked| asked.as_millis()))
        };
        assert_eq!(read(&[]).unwrap(), None);
        for (good, ms) in [("1", 1), ("2500", 2500), ("600000", 600_000), ("007", 7)] {
            assert_eq!(read(&[good]).unwrap(), Some(ms));
        }
        for bad in [&["0"][..], &[""], &["-1"], &["+1"], &["1.5"], &["1e3"], &["600001"], &["9999999"], &["5", "5"]] {
            assert_eq!(read(bad).unwrap_err().code, Code::MalformedRequest, "{bad:?}");
        }
    }
}
