//! Who may call: the one key of the settings.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The key that opens every guarded route; only its hash is kept.
#[derive(Clone)]
pub struct ApiKey {
    /// None where the key of the settings is empty: then nothing opens them.
    hash: Option<[u8; 32]>,
}

impl ApiKey {
    /// The key of the settings.
    pub fn new(key: &SecretString) -> Self {
        let key = key.expose_secret();
        Self { hash: (!key.is_empty()).then(|| Sha256::digest(key.as_bytes()).into()) }
    }

    /// Whether the request carries the key. Both hashes have the same length, and are compared
    /// in constant time: how long it takes tells nothing about the key.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let (Some(hash), Some(token)) = (&self.hash, bearer(headers)) else { return false };
        Sha256::digest(token.as_bytes()).as_slice().ct_eq(hash).into()
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// The token of `Authorization: Bearer <token>`. Two such headers are none: it is not ours
/// to choose which one counts.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn only_the_key_opens() {
        let key = ApiKey::new(&"s3cret".into());
        assert!(key.admits(&headers(&["Bearer s3cret"])));
        assert!(key.admits(&headers(&["bearer s3cret"])));
        for wrong in ["Bearer s3cre", "Bearer s3cret2", "Bearer S3CRET", "Basic s3cret", "s3cret", "Bearer ", "Bearer"]
        {
            assert!(!key.admits(&headers(&[wrong])), "{wrong}");
        }
        assert!(!key.admits(&headers(&[])));
        assert!(!key.admits(&headers(&["Bearer s3cret", "Bearer other"])));
        assert!(!key.admits(&headers(&["Bearer other", "Bearer s3cret"])));
    }

    #[test]
    fn an_empty_key_opens_nothing() {
        let key = ApiKey::new(&"".into());
        assert!(
            !key.admits(&headers(&["Bearer "])) && !key.admits(&headers(&[])) && !key.admits(&headers(&["Bearer x"]))
        );
    }

    #[test]
    fn the_key_is_not_printed() {
        assert!(!format!("{:?}", ApiKey::new(&"s3cret".into())).contains("s3cret"));
    }
}
