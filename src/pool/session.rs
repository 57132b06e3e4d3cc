//! Which session is meant: one with a name, or the one of a key.

use std::borrow::Cow;

use crate::name::Name;

/// What an encoded key begins with: no encoded name has a colon.
const KEY: &str = "key:";

/// A session of a pool. A name and a key that read alike are two sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SessionRef {
    /// The one of that name: its worker forgets it at its end.
    Named(Name),
    /// The one of that key, an account's say: between two uses it keeps its worker.
    Keyed(Name),
}

impl SessionRef {
    /// The name or the key, as the caller wrote it.
    pub fn name(&self) -> &Name {
        match self {
            Self::Named(name) | Self::Keyed(name) => name,
        }
    }

    /// Whether it is a key's.
    pub fn is_keyed(&self) -> bool {
        matches!(self, Self::Keyed(_))
    }

    /// As it stands in Redis.
    pub fn encoded(&self) -> Cow<'_, str> {
        match self {
            Self::Named(name) => name.encoded(),
            Self::Keyed(key) => format!("{KEY}{}", key.encoded()).into(),
        }
    }

    /// The session that was encoded; `None` where the text is none.
    pub fn decode(text: &str) -> Option<Self> {
        match text.strip_prefix(KEY) {
            Some(key) => Name::decode(key).map(Self::Keyed),
            None => Name::decode(text).map(Self::Named),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_taken_for_a_name() {
        for text in ["anna", "key:anna", "a b", "%"] {
            let name = Name::room(text).unwrap();
            let (named, keyed) = (SessionRef::Named(name.clone()), SessionRef::Keyed(name));
            assert_ne!(named.encoded(), keyed.encoded());
            assert_eq!(SessionRef::decode(&named.encoded()), Some(named));
            assert_eq!(SessionRef::decode(&keyed.encoded()), Some(keyed));
        }
    }
}
