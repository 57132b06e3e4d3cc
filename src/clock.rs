//! Time is Redis's: scripts ask for it themselves. Only a test puts another time in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the scripts take the time from.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// Redis's own `TIME`.
    #[default]
    Redis,
    /// A time set from outside, in milliseconds since 1970.
    Injected(Arc<AtomicU64>),
}

impl Clock {
    /// What the scripts get as their first argument: empty for Redis's own time.
    pub fn argument(&self) -> String {
        match self {
            Self::Redis => String::new(),
            Self::Injected(now_ms) => now_ms.load(Ordering::SeqCst).to_string(),
        }
    }
}
