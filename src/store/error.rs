//! What can go wrong with the store, by what the caller can do about it.

use redis::RedisError;

/// A script's refusal: nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The claim was lost to another; what was made outside must be undone.
    #[error("the claim is over")]
    NotOwner,
    /// There is no such thing.
    #[error("not found")]
    NotFound,
    /// It is over, and was known.
    #[error("the dispatch is over")]
    Ended,
    /// It is ending.
    #[error("the dispatch is ending")]
    Ending,
    /// The token is an older one.
    #[error("the token is an older one")]
    StaleToken,
    /// The provider's dispatch is marked dead.
    #[error("the provider's dispatch is marked dead")]
    Tombstoned,
    /// The `Idempotency-Key` was used for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// The same request is under way.
    #[error("the same request is under way")]
    UnderWay,
    /// There are as many as there may be.
    #[error("as many as there may be")]
    TooMany,
    /// As many as may be are in use.
    #[error("as many as may be are in use")]
    InUse,
    /// A newer leader has begun.
    #[error("a newer leader has begun")]
    StaleTerm,
    /// A newer report of the runner was heard.
    #[error("a newer report was heard")]
    StaleReport,
    /// The report of the runner adds to one that is not known.
    #[error("it adds to an unknown report")]
    Incomplete,
}

impl Refusal {
    fn parse(code: &str) -> Option<Self> {
        Some(match code {
            "NOT_OWNER" => Self::NotOwner,
            "NOT_FOUND" => Self::NotFound,
            "ENDED" => Self::Ended,
            "ENDING" => Self::Ending,
            "STALE_TOKEN" => Self::StaleToken,
            "TOMBSTONED" => Self::Tombstoned,
            "KEY_REUSED" => Self::KeyReused,
            "UNDER_WAY" => Self::UnderWay,
            "TOO_MANY" => Self::TooMany,
            "IN_USE" => Self::InUse,
            "STALE_TERM" => Self::StaleTerm,
            "STALE_REPORT" => Self::StaleReport,
            "INCOMPLETE" => Self::Incomplete,
            _ => return None,
        })
    }
}

/// Why a call to the store gave no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Redis is not reachable or takes no writes; whether the call was carried out is unknown.
    #[error("Redis is unavailable: {detail}")]
    Unavailable {
        /// For a developer.
        detail: String,
    },
    /// A script refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Redis or a script answered something that makes no sense: a defect.
    #[error("the store answered nonsense: {detail}")]
    Nonsense {
        /// For a developer.
        detail: String,
    },
    /// The store's schema is not one that this release can work on.
    #[error("{detail}")]
    Schema {
        /// What is wrong and what to do.
        detail: String,
    },
}

impl StoreError {
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable { detail: detail.into() }
    }

    pub(super) fn nonsense(detail: impl Into<String>) -> Self {
        Self::Nonsense { detail: detail.into() }
    }
}

/// What Redis says when it is up and cannot serve: none of it is the caller's fault.
const AWAY: [&str; 9] =
    ["OOM", "MISCONF", "READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "BUSY"];

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        if let Some(refusal) = error.code().and_then(Refusal::parse) {
            return Self::Refused(refusal);
        }
        let code = error.code().unwrap_or_default();
        if ["MOVED", "ASK"].contains(&code) {
            return Self::unavailable("it is a node of a Cluster, whose address begins with redis-cluster://");
        }
        if code.is_empty() || AWAY.contains(&code) || is_lost(&error) {
            return Self::unavailable(error.to_string());
        }
        Self::nonsense(error.to_string())
    }
}

/// Whether the connection that gave this error should not be used again.
pub(super) fn is_lost(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || error.code() == Some("READONLY")
}
