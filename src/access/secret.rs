//! How a key reads: `grk_<shard>_<uuid>.<secret>`; and how its secret is kept and compared.
//!
//! Neither part holds a dot, so the text comes apart in one way. The secret is 256 random bits: a plain
//! SHA-256 of it cannot be guessed backwards, and is quick enough for every request.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::id::KeyId;

/// Bytes of randomness in a secret.
const SECRET_BYTES: usize = 32;

/// The SHA-256 of a secret. It opens nothing, and is shown nowhere all the same.
#[derive(Clone, Copy)]
pub(super) struct SecretHash([u8; 32]);

impl std::fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

impl SecretHash {
    /// The hash of what a caller shows.
    pub(super) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Compares in constant time: how long it takes tells nothing.
    pub(super) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// As it stands in Redis.
    pub(super) fn encoded(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The hash that was encoded.
    pub(super) fn decode(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

/// A new key's text, to be shown once, and the hash to be kept.
pub(super) fn mint(id: KeyId) -> (SecretString, SecretHash) {
    let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; SECRET_BYTES]>());
    (format!("{id}.{secret}").into(), SecretHash::of(&secret))
}

/// The id of the key that is shown, and the hash of its secret; `None` where the text has not the form of a key.
pub(super) fn parse(text: &str) -> Option<(KeyId, SecretHash)> {
    let (id, secret) = text.split_once('.')?;
    let id = id.parse().ok()?;
    let has_form = URL_SAFE_NO_PAD.decode(secret).is_ok_and(|bytes| bytes.len() == SECRET_BYTES);
    has_form.then(|| (id, SecretHash::of(secret)))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made() {
        let id = KeyId::new(17);
        let (text, hash) = mint(id);
        let (read, shown) = parse(text.expose_secret()).unwrap();
        assert_eq!(read, id);
        assert!(hash.matches(&shown) && SecretHash::decode(&hash.encoded()).unwrap().matches(&shown));
        assert!(!hash.matches(&mint(id).1), "two secrets are two");
        assert!(!hash.encoded().contains(text.expose_secret().split('.').nth(1).unwrap()));
    }

    #[test]
    fn what_has_another_form_is_no_key() {
        let (text, _) = mint(KeyId::new(17));
        let text = text.expose_secret();
        let (id, secret) = text.split_once('.').unwrap();
        for bad in [
            "",
            ".",
            id,
            &format!("{id}."),
            &format!("{id}.{}", &secret[1..]),
            &format!("{id}.{secret}A"),
            &format!("{id}.{secret}."),
            &format!("{id}.{secret}="),
            &format!(" {text}"),
            &text.replace("grk_", "dsp_"),
            &text.replace("_17_", "_017_"),
            &text.to_uppercase(),
            &format!("{id}.{}!", &secret[1..]),
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_hash_is_not_printed() {
        assert_eq!(format!("{:?}", SecretHash::of("x")), "SecretHash(…)");
    }
}
