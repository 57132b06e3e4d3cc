//! `X-Request-Id`: taken from the caller where it is one, else made.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Builder;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LENGTH_MAX: usize = 128;

/// 1 to 128 letters, digits, `.`, `_`, `-`: safe in a header, a log line and a problem.
#[derive(Debug, Clone)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's, or a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match headers.get(X_REQUEST_ID) {
            Some(given) if is_valid(given.as_bytes()) => Self(given.clone()),
            _ => Self::new(),
        }
    }

    fn new() -> Self {
        // Not Uuid::now_v7: it asks the kernel for random bytes, once a request.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let id = Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
        let mut text = uuid::Uuid::encode_buffer();
        let text: &str = id.hyphenated().encode_lower(&mut text);
        // An id of hexadecimal digits and dashes is always a header.
        Self(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("none")))
    }

    pub(super) fn as_str(&self) -> &str {
        // Both ways to make one take visible ASCII only.
        self.0.to_str().unwrap_or_default()
    }

    pub(super) fn into_header(self) -> HeaderValue {
        self.0
    }
}

fn is_valid(id: &[u8]) -> bool {
    (1..=LENGTH_MAX).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[u8]) -> String {
        let headers = HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_bytes(given).unwrap())]);
        RequestId::of(&headers).as_str().to_owned()
    }

    #[test]
    fn a_good_one_is_taken() {
        let longest = "a".repeat(128);
        for good in ["a", "Req_1.2-3", longest.as_str()] {
            assert_eq!(of(good.as_bytes()), good);
        }
    }

    #[test]
    fn anything_else_is_replaced_by_a_uuid_that_sorts_by_time() {
        let too_long = "a".repeat(129);
        for bad in ["", "a b", "a\tb", "{id}", "a:b", "é", too_long.as_str()] {
            let made = of(bad.as_bytes());
            assert_eq!(uuid::Uuid::parse_str(&made).unwrap().get_version_num(), 7, "{bad:?} → {made}");
        }
        assert_ne!(RequestId::new().as_str(), RequestId::new().as_str());
    }
}
