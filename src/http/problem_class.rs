//! What each problem counts as for the error reports. The match names every code, so that a new one does not compile
//! without its category.

use super::problem::Code;
use crate::error_report::{Category, Class, Severity};

impl Code {
    /// What a problem of the code counts as.
    pub(in crate::http) fn class(self) -> Class {
        let category = match self {
            Self::MalformedJson
            | Self::MalformedRequest
            | Self::BadCursor
            | Self::MethodNotAllowed
            | Self::BodyTooLarge
            | Self::UnsupportedMediaType
            | Self::InvalidRequest
            | Self::IdempotencyKeyReused => Category::Validation,
            Self::Unauthorized | Self::BadToken | Self::BadSignature => Category::Auth,
            Self::Forbidden | Self::ObserveOnly => Category::Permission,
            Self::RouteNotFound
            | Self::DispatchNotFound
            | Self::KeyNotFound
            | Self::RoomNotFound
            | Self::ErrorNotFound
            | Self::AlertNotFound
            | Self::LockNotHeld
            | Self::BreakerNotFound
            | Self::PoolNotFound
            | Self::WorkerNotFound
            | Self::LeaseNotFound
            | Self::SessionNotFound
            | Self::DispatchEnded => Category::NotFound,
            Self::StaleToken
            | Self::DispatchEnding
            | Self::RequestUnderWay
            | Self::AgentDraining
            | Self::LockHeld
            | Self::LeaseLost
            | Self::BreakerOwned
            | Self::WorkerBusy
            | Self::PoolDraining
            | Self::StaleReport
            | Self::IncompleteReport
            | Self::PoolInUse
            | Self::LivekitNotConfigured => Category::Conflict,
            Self::RateLimited
            | Self::TooManyDispatches
            | Self::TooManyBreakers
            | Self::TooManyPools
            | Self::NoReadyWorker
            | Self::KeysInUse
            | Self::LineFull => Category::RateLimit,
            Self::ProviderRejected | Self::ProviderUnavailable | Self::StoreUnavailable => Category::Dependency,
            Self::Timeout => Category::Timeout,
            Self::Internal => Category::Internal,
        };
        let usual = category.class();
        let severity = match self {
            Self::StoreUnavailable => Severity::Critical,
            // Whom we refuse has made a mistake; it is none of ours.
            _ if !self.entry().status.is_server_error() => Severity::Low,
            _ => usual.severity,
        };
        Class { category, severity, retryable: self.entry().retryable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_report::statuses;

    #[test]
    fn a_problem_counts_as_others_would_take_it_for_by_its_status() {
        for code in Code::ALL.iter().copied() {
            let (class, status) = (code.class(), code.entry().status.as_u16());
            assert_eq!(class.retryable, code.entry().retryable, "{code:?}");
            // What a status cannot tell apart.
            let told_by_code = [Code::Timeout, Code::ObserveOnly].contains(&code);
            assert!(told_by_code || statuses(class.category).contains(&status), "{code:?}: {status}");
        }
    }
}
