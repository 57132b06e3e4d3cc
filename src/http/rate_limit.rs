//! `RateLimit` and `RateLimit-Policy`, as the draft of the IETF's HTTPAPI group has them (structured fields).

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::access::Quota;

pub(super) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(super) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Tells the holder of a key how many calls it may make a second (`q` in `w`), and how many are left (`r`) until
/// the next second begins (`t`).
pub(super) fn tell(headers: &mut HeaderMap, quota: Quota) {
    let values = [
        (RATE_LIMIT, format!("\"key\";r={};t=1", quota.left)),
        (RATE_LIMIT_POLICY, format!("\"key\";q={};w=1", quota.per_second)),
    ];
    for (name, value) in values {
        // Digits and quotes always are a value.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}
