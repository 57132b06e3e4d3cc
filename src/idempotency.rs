//! Requests that are to be done once, however often they are sent: those with an `Idempotency-Key`.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// One request under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Names its record: a digest of who calls, the route, what it concerns and the key.
    pub record: String,
    /// A digest of what it asks: another request under the same key is refused.
    pub body: String,
    /// Tells this request from its repetitions.
    pub attempt: String,
}

impl Once {
    /// The request of that caller, to that route, about that thing.
    pub fn new(caller: &str, route: &str, thing: &str, key: &str, body: &[u8]) -> Self {
        let mut scope = Sha256::new();
        for part in [caller, route, thing, key] {
            // With its length before it, so that no two scopes read alike.
            scope.update(part.len().to_be_bytes());
            scope.update(part);
        }
        let attempt = Uuid::now_v7().simple().to_string();
        Self { record: hex(&scope.finalize()), body: hex(&Sha256::digest(body)), attempt }
    }
}

/// Half of the digest is enough to tell requests apart, and half the memory.
fn hex(digest: &[u8]) -> String {
    digest[..16].iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_for_its_caller_route_and_thing_alone() {
        let record = |parts: [&str; 4]| Once::new(parts[0], parts[1], parts[2], parts[3], b"x").record;
        let own = record(["ann", "/v1/x", "lobby", "k"]);
        assert_eq!(own, record(["ann", "/v1/x", "lobby", "k"]));
        for other in [["bob", "/v1/x", "lobby", "k"], ["ann", "/v1/y", "lobby", "k"], ["ann", "/v1/x", "hall", "k"]] {
            assert_ne!(own, record(other), "{other:?}");
        }
        assert_ne!(record(["a", "b", "", ""]), record(["ab", "", "", ""]));
        let (one, two) = (Once::new("a", "r", "t", "k", b"1"), Once::new("a", "r", "t", "k", b"2"));
        assert!(one.record == two.record && one.body != two.body && one.attempt != two.attempt);
    }
}
