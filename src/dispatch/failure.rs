//! How failures are kept in Redis, and how those of the store and the provider become the domain's.

use std::time::Duration;

use super::DispatchError;
use crate::provider::ProviderError;
use crate::store::{Record, Refusal, StoreError};

/// A provider's error as the code and detail that a dispatch keeps.
pub(super) fn describe(error: &ProviderError) -> (String, String) {
    match error {
        ProviderError::Timeout => ("timeout".to_owned(), String::new()),
        ProviderError::Unavailable { detail } => ("unavailable".to_owned(), detail.clone()),
        ProviderError::RateLimited { .. } => ("rate_limited".to_owned(), String::new()),
        ProviderError::Garbage { detail } => ("garbage".to_owned(), detail.clone()),
        ProviderError::ObserveOnly => ("observe_only".to_owned(), String::new()),
        ProviderError::BreakerOpen { breaker, retry_after } => {
            ("breaker_open".to_owned(), format!("{} {breaker}", retry_after.as_millis()))
        }
        ProviderError::Rejected { code, detail } => (format!("rejected {code}"), detail.clone()),
    }
}

/// The error that is held in a dispatch, for those who ask meanwhile.
pub(super) fn held(record: &Record) -> DispatchError {
    let (code, detail) = record.error.clone().unwrap_or_default();
    let source = match code.as_str() {
        "timeout" => ProviderError::Timeout,
        "rate_limited" => ProviderError::RateLimited { retry_after: None },
        "observe_only" => ProviderError::ObserveOnly,
        "garbage" => ProviderError::Garbage { detail },
        "breaker_open" => {
            let (left_ms, breaker) = detail.split_once(' ').unwrap_or_default();
            let retry_after = Duration::from_millis(left_ms.parse().unwrap_or_default());
            ProviderError::BreakerOpen { breaker: breaker.to_owned(), retry_after }
        }
        other => match other.strip_prefix("rejected ") {
            Some(code) => ProviderError::Rejected { code: code.to_owned(), detail },
            None => ProviderError::Unavailable { detail },
        },
    };
    let left_ms = record.hold_until_ms.unwrap_or_default().saturating_sub(record.now_ms);
    DispatchError::Provider { source, retry_after: Duration::from_millis(left_ms) }
}

impl From<StoreError> for DispatchError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { detail } => Self::StoreUnavailable { detail },
            StoreError::Refused(Refusal::NotFound) => Self::NotFound,
            StoreError::Refused(Refusal::Ended) => Self::Ended,
            StoreError::Refused(Refusal::Ending) => Self::Ending,
            StoreError::Refused(Refusal::KeyReused) => Self::KeyReused,
            StoreError::Refused(Refusal::UnderWay) => Self::UnderWay,
            StoreError::Refused(Refusal::StaleToken) => Self::StaleToken,
            StoreError::Refused(refusal) => Self::Internal { detail: refusal.to_string() },
            StoreError::Nonsense { detail } | StoreError::Schema { detail } => Self::Internal { detail },
        }
    }
}

impl From<super::supervisor::Failure> for super::maker::TryError {
    fn from(failure: super::supervisor::Failure) -> Self {
        match failure {
            super::supervisor::Failure::Lost => Self::Lost { made: None },
            super::supervisor::Failure::Provider(error) => Self::from(error),
            super::supervisor::Failure::Store(error) => Self::from(error),
        }
    }
}
