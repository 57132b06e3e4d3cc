//! The token that an agent reports with: `gat_<fencing token>_<mac>`.
//!
//! It is derived, not stored: the MAC binds the fencing token to the dispatch's id under a key
//! that every replica derives from the LiveKit secret (or, without LiveKit, from the store's id).
//! So it outlives an emptied Redis, and Redis holds nothing that could be stolen.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::SecretString;
use sha2::Sha256;

use crate::id::DispatchId;

/// Makes and checks agents' tokens. Cheap to clone.
#[derive(Clone)]
pub struct TokenMint {
    key: [u8; 32],
}

impl std::fmt::Debug for TokenMint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenMint").finish_non_exhaustive()
    }
}

impl TokenMint {
    /// A mint whose key is derived from the secret.
    pub fn new(secret: &str) -> Self {
        let mut key = [0; 32];
        key.copy_from_slice(&mac(secret.as_bytes(), b"greenroom agent token v1").finalize().into_bytes());
        Self { key }
    }

    /// The token of the agent that is dispatched under this fencing token.
    pub fn mint(&self, id: DispatchId, token: u64) -> SecretString {
        let mac = mac(&self.key, format!("{id}:{token}").as_bytes()).finalize().into_bytes();
        format!("gat_{token}_{}", URL_SAFE_NO_PAD.encode(mac)).into()
    }

    /// The fencing token within, if this mint made the text for the dispatch.
    pub fn verify(&self, id: DispatchId, text: &str) -> Option<u64> {
        let (token, tag) = text.strip_prefix("gat_")?.split_once('_')?;
        let token: u64 = token.parse().ok()?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        // Compares in constant time.
        mac(&self.key, format!("{id}:{token}").as_bytes()).verify_slice(&tag).ok()?;
        Some(token)
    }
}

fn mac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    // HMAC takes a key of any length; the branch is never taken.
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .unwrap_or_else(|_| Hmac::new(&hmac::digest::Key::<Hmac<Sha256>>::default()));
    mac.update(message);
    mac
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_token_is_good_for_its_dispatch_alone() {
        let (mint, id) = (TokenMint::new("secret"), DispatchId::new(3));
        let token = mint.mint(id, 17).expose_secret().to_owned();
        assert_eq!(mint.verify(id, &token), Some(17));
        assert_eq!(mint.verify(DispatchId::new(3), &token), None);
        assert_eq!(mint.verify(id, &token.replace("gat_17", "gat_18")), None);
        assert_eq!(TokenMint::new("other").verify(id, &token), None);
        assert_eq!(mint.verify(id, "gat_17_"), None);
    }
}
