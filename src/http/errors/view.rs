//! A group of failures as `/v1` shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error_report::{Group, GroupId};
use crate::http::fields::{CategoryName, SeverityName, Timestamp};
use crate::http::texts::{Language, Texts};

/// Failures that are alike: the same operation, category and message but for its variable parts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorGroup)]
pub(in crate::http) struct GroupView {
    #[schema(value_type = GroupId)]
    id: String,
    /// What fails.
    operation: String,
    #[schema(value_type = CategoryName)]
    category: &'static str,
    #[schema(value_type = SeverityName)]
    severity: &'static str,
    /// Whether the same may succeed later.
    retryable: bool,
    /// The message; what varies in it is named in angle brackets.
    #[schema(example = "dial tcp <address>: connection refused after <duration>")]
    message: String,
    /// The code of the last one; null where it had none.
    #[schema(required)]
    code: Option<String>,
    /// Who reported the last one; null for failures of greenroom, and where it was not said.
    #[schema(required)]
    service: Option<String>,
    /// How often it happened since the group is remembered.
    count: u64,
    first_seen_at: Timestamp,
    last_seen_at: Timestamp,
    trend: TrendView,
    /// For an end user.
    user_message: String,
    /// For a developer or an operator.
    suggestions: Vec<String>,
}

/// How often over time. The last of each list is still running.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorTrend)]
struct TrendView {
    /// The last ten minutes, compared with the hour before.
    #[schema(value_type = DirectionName)]
    direction: &'static str,
    /// Of each of the last 60 minutes, the oldest first.
    #[schema(min_items = 60, max_items = 60)]
    per_minute: Vec<u64>,
    /// Of each of the last 24 hours, the oldest first.
    #[schema(min_items = 24, max_items = 24)]
    per_hour: Vec<u64>,
}

/// The word for a direction.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "for the document: its words are the domain's, as a test holds")]
enum DirectionName {
    Rising,
    Falling,
    Steady,
}

/// A group with its last few failures.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorGroupWithSamples)]
pub(in crate::http) struct DetailedView {
    #[serde(flatten)]
    group: GroupView,
    /// The last few, the newest first; secrets are masked.
    #[schema(max_items = 3)]
    samples: Vec<SampleView>,
}

/// One failure.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorSample)]
struct SampleView {
    at: Timestamp,
    #[serde(flatten)]
    failure: Failure,
}

/// What is kept of a failure.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = KeptError)]
struct Failure {
    message: String,
    #[schema(required)]
    code: Option<String>,
    #[schema(required)]
    status: Option<u16>,
    #[schema(required)]
    service: Option<String>,
    #[schema(required)]
    stack: Option<String>,
    /// What was going on.
    #[serde(default)]
    context: BTreeMap<String, String>,
}

impl GroupView {
    pub(super) fn new(group: Group, texts: &Texts, language: Language<'_>) -> Self {
        let wording = texts.of_category(group.class.category, language);
        let some = |text: String| (!text.is_empty()).then_some(text);
        Self {
            id: group.id.to_string(),
            operation: group.operation,
            category: group.class.category.as_str(),
            severity: group.class.severity.as_str(),
            retryable: group.class.retryable,
            message: group.template,
            code: some(group.code),
            service: some(group.service),
            count: group.count,
            first_seen_at: Timestamp(group.first_seen_ms),
            last_seen_at: Timestamp(group.last_seen_ms),
            trend: TrendView {
                direction: group.trend.direction().as_str(),
                per_minute: group.trend.minutes,
                per_hour: group.trend.hours,
            },
            user_message: wording.user_message.to_owned(),
            suggestions: wording.suggestions.into_iter().map(str::to_owned).collect(),
        }
    }
}

impl DetailedView {
    pub(super) fn new(mut group: Group, texts: &Texts, language: Language<'_>) -> Self {
        let samples = std::mem::take(&mut group.samples).into_iter().filter_map(|(at_ms, failure)| {
            Some(SampleView { at: Timestamp(at_ms), failure: serde_json::from_str(&failure).ok()? })
        });
        let samples = samples.collect();
        Self { group: GroupView::new(group, texts, language), samples }
    }
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema as _;

    use super::*;
    use crate::error_report::Direction;

    #[test]
    fn directions_are_those_of_the_domain() {
        let schema = serde_json::to_value(DirectionName::schema()).unwrap();
        assert_eq!(schema["enum"], serde_json::json!(Direction::ALL.map(Direction::as_str)));
    }
}
