//! A replica's answer, and what tests want of it.

use reqwest::Response;
use serde_json::Value;

/// Status, waiting time and body of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Value,
}

/// The agent that a caller was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acquired {
    pub(crate) id: String,
    pub(crate) reused: bool,
}

impl Answer {
    pub(super) async fn read(response: Response) -> Self {
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.json().await.unwrap_or_default();
        Self { status, retry_after, body }
    }

    /// The agent of the answer, which must give one.
    pub(crate) fn acquired(&self) -> Acquired {
        assert!(matches!(self.status, 200 | 201), "{self:?}");
        let id = self.body["id"].as_str().or_else(|| self.body["dispatchId"].as_str()).expect("an id").to_owned();
        Acquired { id, reused: self.body["reused"].as_bool().expect("reused") }
    }

    /// The answer must be this refusal.
    pub(crate) fn has_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{self:?}");
    }

    /// The answer must say that it cannot be done now, and when to try again.
    pub(crate) fn is_refused(&self, code: &str) {
        assert_eq!(self.status, 503, "{self:?}");
        assert_eq!(self.body["code"], code, "{self:?}");
        assert!(self.retry_after.is_some_and(|seconds| (1..=60).contains(&seconds)), "{self:?}");
        assert_eq!(self.body["retryable"], true, "{self:?}");
    }
}
