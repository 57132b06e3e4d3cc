//! What an error report is made of: no transport, no store.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::Trend;
use crate::id::InvalidId;
use crate::name::Name;

/// Makes an enum whose every case has one word for it, on the wire and in Redis.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$case_doc])* $case,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$case),+];

            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$case => $word,)+
                }
            }

            /// The one of that word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|case| case.as_str() == word)
            }
        }
    };
}

words! {
    /// What kind of failure it is, by what can be done about it.
    Category {
        /// The way to somebody is broken.
        Network = "network",
        /// It took too long.
        Timeout = "timeout",
        /// Who calls could not be established.
        Auth = "auth",
        /// Who calls may not do this.
        Permission = "permission",
        /// Too many calls.
        RateLimit = "rate_limit",
        /// Memory, space, files or places ran out.
        Resource = "resource",
        /// What was asked makes no sense.
        Validation = "validation",
        /// There is no such thing.
        NotFound = "not_found",
        /// It clashes with what is.
        Conflict = "conflict",
        /// A service that this one rests on failed.
        Dependency = "dependency",
        /// A defect.
        Internal = "internal",
        /// Somebody gave it up.
        Cancelled = "cancelled",
    }
}

words! {
    /// How bad it is.
    Severity {
        /// A caller's own business.
        Low = "low",
        /// Worth a look where it is frequent.
        Medium = "medium",
        /// Somebody is not served.
        High = "high",
        /// Nobody is served.
        Critical = "critical",
    }
}

/// What a failure counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// Its kind.
    pub category: Category,
    /// How bad it is.
    pub severity: Severity,
    /// Whether the same may succeed later.
    pub retryable: bool,
}

/// A failure as a worker, an agent or another service reports it.
#[derive(Debug, Clone)]
pub struct Report {
    /// What failed.
    pub operation: Name,
    /// What it said.
    pub message: String,
    /// Its kind; guessed where none.
    pub category: Option<Category>,
    /// How bad it is; as bad as its category usually is where none.
    pub severity: Option<Severity>,
    /// Whether the same may succeed later; as its category usually is where none.
    pub retryable: Option<bool>,
    /// The code of the failure, of a library or a protocol.
    pub code: Option<Name>,
    /// The HTTP status that came with it.
    pub status: Option<u16>,
    /// Who reports.
    pub service: Option<Name>,
    /// Where it happened.
    pub stack: Option<String>,
    /// What was going on.
    pub context: BTreeMap<String, String>,
}

/// A failure, ready to be counted in its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// Its group.
    pub id: GroupId,
    /// What failed.
    pub operation: String,
    /// What it counts as.
    pub class: Class,
    /// The message without its variable parts.
    pub template: String,
    /// Its code; empty where there is none.
    pub code: String,
    /// Who reported; empty where it is not said.
    pub service: String,
    /// One such failure as JSON, without secrets.
    pub sample: String,
}

/// The id of a group: the same failure of the same tenant has the same one on every replica.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(String);

const ID_START: &str = "err_";
const ID_DIGITS: usize = 32;

impl GroupId {
    /// The id of what fails so.
    pub fn of(tenant: &Name, operation: &str, category: Category, template: &str) -> Self {
        let mut digest = Sha256::new();
        for part in [tenant.as_str(), operation, category.as_str(), template] {
            // With its length before it, so that no two groups read alike.
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        let mut id = ID_START.to_owned();
        for byte in &digest.finalize()[..ID_DIGITS / 2] {
            // Writing to a String cannot fail.
            let _ = write!(id, "{byte:02x}");
        }
        Self(id)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for GroupId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = text.strip_prefix(ID_START).ok_or(InvalidId)?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let fits = digits.len() == ID_DIGITS && digits.bytes().all(is_digit);
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidId) }
    }
}

/// Failures that are alike.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// What fails.
    pub operation: String,
    /// What it counts as.
    pub class: Class,
    /// The message without its variable parts.
    pub template: String,
    /// The code of the last one; empty where it had none.
    pub code: String,
    /// Who reported the last one; empty where it was not said.
    pub service: String,
    /// How often it happened.
    pub count: u64,
    /// When it happened first, in milliseconds since 1970.
    pub first_seen_ms: u64,
    /// When it happened last, in milliseconds since 1970.
    pub last_seen_ms: u64,
    /// How often over time.
    pub trend: Trend,
    /// The last few: when, and what is told of each as JSON.
    pub samples: Vec<(u64, String)>,
}

/// What became of a report.
#[derive(Debug, Clone)]
pub struct Reported {
    /// Its group.
    pub id: GroupId,
    /// What it counts as.
    pub class: Class,
    /// Whether the group is new.
    pub is_new: bool,
    /// How often it happened, with this one.
    pub count: u64,
}

/// Which groups to list; everything that is `None` is not asked for.
#[derive(Debug, Clone, Default)]
pub struct GroupFilter {
    /// Of this category.
    pub category: Option<Category>,
    /// Of this severity.
    pub severity: Option<Severity>,
    /// Of this operation.
    pub operation: Option<Name>,
    /// Where the page before ended: opaque.
    pub cursor: Option<String>,
    /// At most so many (1 to 1,000).
    pub limit: u32,
}

/// A page of groups, the one seen last first. It may be short, and still have a next one.
#[derive(Debug, Clone)]
pub struct GroupPage {
    /// The groups.
    pub groups: Vec<Group>,
    /// Where the next page starts; none at the end.
    pub next_cursor: Option<String>,
}

/// Why a report was not taken, or a group not found.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReportError {
    /// There is no such group.
    #[error("no such group of errors")]
    NotFound,
    /// The cursor is not one of ours.
    #[error("not a cursor of this list")]
    BadCursor,
    /// The `Idempotency-Key` was used for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// Redis is not reachable, or does not take writes now.
    #[error("the store is unavailable: {detail}")]
    StoreUnavailable {
        /// For a developer.
        detail: String,
    },
    /// A defect.
    #[error("internal error: {detail}")]
    Internal {
        /// For a developer.
        detail: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_the_same_for_everybody_and_another_for_another_tenant() {
        let of = |tenant: &str, operation: &str, template: &str| {
            GroupId::of(&Name::tenant(tenant).unwrap(), operation, Category::Network, template)
        };
        let own = of("acme", "create", "refused");
        assert_eq!(own, of("acme", "create", "refused"));
        for other in [of("other", "create", "refused"), of("acme", "delete", "refused"), of("acme", "create", "x")] {
            assert_ne!(own, other);
        }
        assert_ne!(of("acme", "ab", "c"), of("acme", "a", "bc"));
        assert_eq!(own.to_string().parse(), Ok(own.clone()));
        for bad in ["", "err_", "err_0", &own.to_string().to_uppercase(), &format!("{own}0"), "err_{17}:*"] {
            assert!(bad.parse::<GroupId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_word_leads_back() {
        assert!(Category::ALL.iter().all(|category| Category::parse(category.as_str()) == Some(*category)));
        assert!(Severity::ALL.iter().all(|severity| Severity::parse(severity.as_str()) == Some(*severity)));
        assert_eq!((Category::ALL.len(), Severity::ALL.len()), (12, 4));
        assert!(Severity::Low < Severity::Critical && Category::parse("Network").is_none());
    }
}
