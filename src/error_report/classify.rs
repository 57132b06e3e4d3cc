//! What each error of ours counts as. Every match names every case, so that a new error does not compile without its class.

use super::{Category, Class, ReportError, Severity};
use crate::access::AccessError;
use crate::alert::AlertError;
use crate::config::ConfigError;
use crate::dispatch::DispatchError;
use crate::id::InvalidId;
use crate::lock::LockError;
use crate::name::NameError;
use crate::pool::PoolError;
use crate::provider::ProviderError;
use crate::provider::livekit::{SetupError, TokenError, WebhookError};
use crate::store::{Refusal, StoreError};

/// An error whose class is known.
pub trait Classify {
    /// What it counts as.
    fn class(&self) -> Class;
}

impl Class {
    fn with(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    fn again(self, retryable: bool) -> Self {
        Self { retryable, ..self }
    }
}

impl Classify for ProviderError {
    fn class(&self) -> Class {
        match self {
            Self::Timeout => Category::Timeout.class().with(Severity::High),
            Self::Unavailable { .. } | Self::Garbage { .. } | Self::BreakerOpen { .. } => Category::Dependency.class(),
            Self::RateLimited { .. } | Self::Exhausted => Category::RateLimit.class(),
            // What was asked for, and is as it should be.
            Self::ObserveOnly => Category::Permission.class().with(Severity::Low),
            Self::Rejected { code, .. } => of_twirp(code).class().with(Severity::High).again(false),
        }
    }
}

/// The codes of LiveKit's own protocol.
fn of_twirp(code: &str) -> Category {
    match code {
        "unauthenticated" => Category::Auth,
        "permission_denied" => Category::Permission,
        "not_found" | "bad_route" => Category::NotFound,
        "already_exists" | "aborted" | "failed_precondition" => Category::Conflict,
        "invalid_argument" | "malformed" | "out_of_range" => Category::Validation,
        "canceled" => Category::Cancelled,
        _ => Category::Dependency,
    }
}

impl Classify for Refusal {
    fn class(&self) -> Class {
        match self {
            Self::NotOwner | Self::StaleToken | Self::Tombstoned | Self::StaleTerm => Category::Conflict.class(),
            Self::Ending | Self::UnderWay | Self::StaleReport | Self::Incomplete => {
                Category::Conflict.class().again(true)
            }
            Self::NotFound | Self::Ended => Category::NotFound.class(),
            Self::KeyReused => Category::Validation.class(),
            Self::TooMany => Category::RateLimit.class().again(false),
            Self::InUse => Category::RateLimit.class(),
        }
    }
}

impl Classify for StoreError {
    fn class(&self) -> Class {
        match self {
            Self::Unavailable { .. } => Category::Dependency.class().with(Severity::Critical),
            Self::Refused(refusal) => refusal.class(),
            Self::Nonsense { .. } => Category::Internal.class(),
            Self::Schema { .. } => Category::Internal.class().with(Severity::Critical),
        }
    }
}

impl Classify for DispatchError {
    fn class(&self) -> Class {
        match self {
            Self::NotFound => Refusal::NotFound.class(),
            Self::Ended => Refusal::Ended.class(),
            Self::Ending => Refusal::Ending.class(),
            Self::StaleToken => Refusal::StaleToken.class(),
            Self::KeyReused => Refusal::KeyReused.class(),
            Self::UnderWay => Refusal::UnderWay.class(),
            Self::BadToken => Category::Auth.class().with(Severity::Medium),
            Self::Draining => Category::Conflict.class(),
            Self::TooMany { .. } => Category::RateLimit.class(),
            Self::Provider { source, .. } => source.class(),
            Self::Timeout { .. } => Category::Timeout.class(),
            Self::ReservedRoom | Self::BadCursor => Category::Validation.class(),
            Self::StoreUnavailable { .. } => store_unavailable(),
            Self::Internal { .. } => Category::Internal.class(),
        }
    }
}

impl Classify for AccessError {
    fn class(&self) -> Class {
        match self {
            Self::Unauthorized => Category::Auth.class().with(Severity::Medium),
            Self::TooManyWrong => Category::RateLimit.class(),
            Self::Forbidden => Category::Permission.class(),
            Self::NotFound => Category::NotFound.class(),
            Self::BadCursor => Category::Validation.class(),
            Self::StoreUnavailable { .. } => store_unavailable(),
            Self::Internal { .. } => Category::Internal.class(),
        }
    }
}

impl Classify for PoolError {
    fn class(&self) -> Class {
        match self {
            Self::NotFound | Self::NoSuchWorker | Self::NoSuchLease | Self::NoSuchSession => Category::NotFound.class(),
            Self::TooMany => Category::RateLimit.class().again(false),
            Self::NoReadyWorker | Self::LineFull | Self::KeysInUse => Category::RateLimit.class(),
            Self::WorkerBusy | Self::UnderWay | Self::StaleReport | Self::IncompleteReport => {
                Category::Conflict.class().again(true)
            }
            Self::Draining | Self::InUse | Self::LeaseLost => Category::Conflict.class(),
            Self::Unsure => Category::Dependency.class(),
            Self::BadCursor | Self::KeyReused => Category::Validation.class(),
            Self::Store(error) => error.class(),
        }
    }
}

impl Classify for LockError {
    fn class(&self) -> Class {
        match self {
            Self::Busy { .. } => Category::Conflict.class().again(true),
            Self::Lost => Category::Conflict.class(),
            Self::Free => Category::NotFound.class(),
            Self::Store(error) => error.class(),
        }
    }
}

impl Classify for ReportError {
    fn class(&self) -> Class {
        match self {
            Self::NotFound => Category::NotFound.class(),
            Self::BadCursor | Self::KeyReused => Category::Validation.class(),
            Self::StoreUnavailable { .. } => store_unavailable(),
            Self::Internal { .. } => Category::Internal.class(),
        }
    }
}

impl Classify for AlertError {
    fn class(&self) -> Class {
        match self {
            Self::KeyReused => Category::Validation.class(),
            Self::Forbidden => Category::Permission.class(),
            Self::StoreUnavailable { .. } => store_unavailable(),
            Self::Internal { .. } => Category::Internal.class(),
        }
    }
}

impl Classify for WebhookError {
    fn class(&self) -> Class {
        match self {
            Self::NotGenuine { .. } => Category::Auth.class().with(Severity::Medium),
            Self::NotUnderstood { .. } => Category::Validation.class(),
        }
    }
}

impl Classify for TokenError {
    fn class(&self) -> Class {
        match self {
            Self::Incomplete => Category::Validation.class(),
            Self::Unsigned => Category::Internal.class(),
        }
    }
}

impl Classify for SetupError {
    fn class(&self) -> Class {
        match self {
            Self::Url { .. } => Category::Validation.class().with(Severity::Critical),
            Self::NoCredentials => Category::Auth.class().with(Severity::Critical),
            Self::Http(_) => Category::Internal.class().with(Severity::Critical),
        }
    }
}

impl Classify for ConfigError {
    fn class(&self) -> Class {
        match self {
            Self::Read { .. } => Category::NotFound.class().with(Severity::Critical),
            Self::Syntax { .. } | Self::Invalid { .. } => Category::Validation.class().with(Severity::Critical),
        }
    }
}

impl Classify for NameError {
    fn class(&self) -> Class {
        match self {
            Self::Empty | Self::TooLong | Self::TenantTooLong | Self::Unprintable | Self::Strict => {
                Category::Validation.class()
            }
        }
    }
}

impl Classify for InvalidId {
    fn class(&self) -> Class {
        let Self = self;
        Category::NotFound.class()
    }
}

fn store_unavailable() -> Class {
    Category::Dependency.class().with(Severity::Critical)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dispatch::Bound;

    #[test]
    fn a_provider_s_error_is_worth_another_try_where_its_class_says_so() {
        let rejected = |code: &str| ProviderError::Rejected { code: code.into(), detail: "no".into() };
        for (error, category) in [
            (ProviderError::Timeout, Category::Timeout),
            (ProviderError::Unavailable { detail: "503".into() }, Category::Dependency),
            (ProviderError::RateLimited { retry_after: None }, Category::RateLimit),
            (ProviderError::Garbage { detail: "html".into() }, Category::Dependency),
            (ProviderError::ObserveOnly, Category::Permission),
            (rejected("unauthenticated"), Category::Auth),
            (rejected("permission_denied"), Category::Permission),
            (rejected("made_up"), Category::Dependency),
        ] {
            let class = error.class();
            assert_eq!((class.category, class.retryable), (category, error.is_retryable()), "{error:?}");
            let through = DispatchError::Provider { source: error, retry_after: Duration::ZERO };
            assert_eq!(through.class(), class, "the same, whoever passes it on");
        }
    }

    #[test]
    fn whom_nobody_serves_is_critical_and_a_caller_s_own_business_is_low() {
        let detail = || "x".to_owned();
        for class in [
            StoreError::Unavailable { detail: detail() }.class(),
            DispatchError::StoreUnavailable { detail: detail() }.class(),
            AccessError::StoreUnavailable { detail: detail() }.class(),
            ReportError::StoreUnavailable { detail: detail() }.class(),
            AlertError::StoreUnavailable { detail: detail() }.class(),
            LockError::Store(StoreError::Unavailable { detail: detail() }).class(),
        ] {
            assert_eq!(
                (class.category, class.severity, class.retryable),
                (Category::Dependency, Severity::Critical, true)
            );
        }
        for error in [DispatchError::NotFound, DispatchError::Ended, DispatchError::KeyReused, DispatchError::BadCursor]
        {
            assert_eq!((error.class().severity, error.class().retryable), (Severity::Low, false), "{error:?}");
        }
        let many = DispatchError::TooMany { bound: Bound::Agent, retry_after: Duration::ZERO };
        assert_eq!((many.class().category, many.class().retryable), (Category::RateLimit, true));
        assert_eq!(DispatchError::Internal { detail: detail() }.class().category, Category::Internal);
    }
}
