//! How failures are kept in Redis, and how those of the store and the provider become the domain's.

use std::time::Duration;

use super::DispatchError;
use super::settings::Settings;
use crate::policy::Verdict;
use crate::provider::ProviderError;
use crate::store::{Record, Refusal, StoreError};

/// The longest that a provider is left alone because it asked for it.
const HOLD_MAX: Duration = Duration::from_secs(30);

/// Where a breaker is open for longer, whoever asks is told so at once; else others are probing already.
const PROBED_SOON: Duration = Duration::from_secs(1);

/// A provider's error as the code and detail that a dispatch keeps.
pub(super) fn describe(error: &ProviderError) -> (String, String) {
    match error {
        ProviderError::Timeout => ("timeout".to_owned(), String::new()),
        ProviderError::Unavailable { detail } => ("unavailable".to_owned(), detail.clone()),
        ProviderError::RateLimited { .. } => ("rate_limited".to_owned(), String::new()),
        ProviderError::Garbage { detail } => ("garbage".to_owned(), detail.clone()),
        ProviderError::Exhausted => ("exhausted".to_owned(), String::new()),
        ProviderError::ObserveOnly => ("observe_only".to_owned(), String::new()),
        ProviderError::BreakerOpen { breaker, retry_after } => {
            ("breaker_open".to_owned(), format!("{} {breaker}", retry_after.as_millis()))
        }
        ProviderError::Rejected { code, detail } => (format!("rejected {code}"), detail.clone()),
    }
}

/// What the provider's error says about trying again.
pub(super) fn verdict(error: &ProviderError) -> Verdict {
    match error {
        ProviderError::RateLimited { retry_after: Some(least) } => Verdict::After(*least),
        ProviderError::BreakerOpen { retry_after, .. } if *retry_after <= PROBED_SOON => {
            Verdict::NotAsked(*retry_after)
        }
        error if error.is_retryable() => Verdict::Again,
        _ => Verdict::Never,
    }
}

/// How long an error is held for those who ask meanwhile: for as long as the provider asked to be left alone, too.
pub(super) fn hold(error: &ProviderError, settings: &Settings) -> Duration {
    let asked = match error {
        ProviderError::RateLimited { retry_after } => retry_after.unwrap_or_default(),
        _ => Duration::ZERO,
    };
    settings.failure_hold.max(asked.min(HOLD_MAX))
}

/// The error that is held in a dispatch, for those who ask meanwhile.
pub(super) fn held(record: &Record) -> DispatchError {
    let (code, detail) = record.error.clone().unwrap_or_default();
    let source = match code.as_str() {
        "timeout" => ProviderError::Timeout,
        "rate_limited" => ProviderError::RateLimited { retry_after: None },
        "exhausted" => ProviderError::Exhausted,
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
