//! Why the settings cannot be used: every problem at once, none with a secret in it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings' file {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML. Lines are named and not shown, for they may hold a secret.
    #[error("{origin}, line {line}: {detail}")]
    Syntax {
        /// Which file.
        origin: String,
        /// Where, from 1.
        line: usize,
        /// What is wrong there.
        detail: String,
    },
    /// Settings that do not exist, have no good value, or do not go together.
    #[error("the settings cannot be used:{}", Lines(.problems))]
    Invalid {
        /// All that was found.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting (`dispatch.ttl_seconds`) or the variable.
    pub name: String,
    /// A sentence that names both, with what is allowed.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}
