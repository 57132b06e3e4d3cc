//! Names that come from outside, checked once at the door.
//!
//! A [`Name`] is what a caller wrote; [`Name::encoded`] is what may stand in a Redis key or a
//! log line. Everything but letters, digits and `_ . @ -` is percent-encoded there, so no name
//! can forge a key, a hash tag or a line, and a room called `stand-up` still reads `stand-up`.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 128;
/// The longest name of a tenant: with it before a room's name, LiveKit takes the whole.
pub const TENANT_CHARS_MAX: usize = 64;

const DEFAULT_TENANT: &str = "default";

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has no characters.
    #[error("must not be empty")]
    Empty,
    /// The name has more than [`NAME_CHARS_MAX`] characters.
    #[error("must have at most {NAME_CHARS_MAX} characters")]
    TooLong,
    /// A tenant's name has more than [`TENANT_CHARS_MAX`] characters.
    #[error("must have at most {TENANT_CHARS_MAX} characters")]
    TenantTooLong,
    /// A character that cannot be printed, such as a line break.
    #[error("must hold printable characters only")]
    Unprintable,
    /// A character that the stricter kind of name does not take.
    #[error("must hold letters, digits, '_', '.' and '-' only")]
    Strict,
}

/// A tenant's, room's or agent's name: 1 to 128 characters of printable Unicode.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// A name for a room: any printable characters.
    pub fn room(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        // The bytes bound first: counting the characters of a megabyte is work for nothing.
        if text.len() > NAME_CHARS_MAX * 4 || text.chars().count() > NAME_CHARS_MAX {
            return Err(NameError::TooLong);
        }
        if text.chars().any(is_unprintable) {
            return Err(NameError::Unprintable);
        }
        Ok(Self(text))
    }

    /// A name for an agent: letters, digits, `_`, `.` and `-`.
    pub fn strict(text: impl Into<String>) -> Result<Self, NameError> {
        let name = Self::room(text)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if name.0.chars().all(plain) { Ok(name) } else { Err(NameError::Strict) }
    }

    /// A name for a tenant: as for an agent, and shorter.
    pub fn tenant(text: impl Into<String>) -> Result<Self, NameError> {
        let name = Self::strict(text)?;
        if name.0.len() > TENANT_CHARS_MAX { Err(NameError::TenantTooLong) } else { Ok(name) }
    }

    /// A name that stands in the code, which is a good one.
    pub(crate) fn of_code(text: &'static str) -> Self {
        debug_assert!(Self::strict(text).is_ok(), "{text} is no name");
        Self(text.to_owned())
    }

    /// The tenant of those who have but one.
    pub fn default_tenant() -> Self {
        Self(DEFAULT_TENANT.to_owned())
    }

    /// Whether it names the tenant of those who have but one.
    pub fn is_default_tenant(&self) -> bool {
        self.0 == DEFAULT_TENANT
    }

    /// The name as the caller wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it stands in Redis keys.
    pub fn encoded(&self) -> Cow<'_, str> {
        if self.0.bytes().all(stands_for_itself) {
            return Cow::Borrowed(&self.0);
        }
        let mut out = String::with_capacity(self.0.len() * 3);
        for byte in self.0.bytes() {
            if stands_for_itself(byte) {
                out.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
        Cow::Owned(out)
    }

    /// The name that was encoded; `None` where the text is no encoded name.
    pub fn decode(encoded: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(encoded.len());
        let mut rest = encoded.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            if first == b'%' {
                let hex = std::str::from_utf8(tail.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(hex, 16).ok()?);
                rest = &tail[2..];
            } else {
                bytes.push(first);
                rest = tail;
            }
        }
        Self::room(String::from_utf8(bytes).ok()?).ok()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Control characters, line and paragraph separators, and the invisible marks that change the
/// direction of text: what a log line or a terminal could be fooled with.
fn stands_for_itself(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'@' | b'-')
}

fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_its_encoding() {
        for text in ["lobby", "stand-up", "a b", "{17}:x*", "Zürich ☕", "100%25"] {
            let name = Name::room(text).expect("a good name");
            assert_eq!(Name::decode(&name.encoded()), Some(name.clone()), "{text}");
            assert!(name.encoded().bytes().all(|b| b.is_ascii_alphanumeric() || b"_.@-%".contains(&b)));
        }
        assert_eq!(Name::room("stand-up").expect("a good name").encoded(), "stand-up");
    }

    #[test]
    fn names_are_bounded_and_printable() {
        assert_eq!(Name::room(""), Err(NameError::Empty));
        assert!(Name::room("é".repeat(128)).is_ok());
        assert_eq!(Name::room("é".repeat(129)), Err(NameError::TooLong));
        assert_eq!(Name::room("a\nb"), Err(NameError::Unprintable));
        assert_eq!(Name::room("a\u{202E}b"), Err(NameError::Unprintable));
        assert_eq!(Name::strict("a b"), Err(NameError::Strict));
        assert!(Name::tenant("t".repeat(64)).is_ok());
        assert_eq!(Name::tenant("t".repeat(65)), Err(NameError::TenantTooLong));
    }
}
