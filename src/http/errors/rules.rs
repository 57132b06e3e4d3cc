//! `GET /v1/errors/rules`: the categories of failures, how they are told apart, and what their readers are told.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error_report::{Category, statuses, words};
use crate::http::fields::{CategoryName, SeverityName};
use crate::http::problem::Code;
use crate::http::state::App;
use crate::http::texts::Wording;

/// The rules by which failures are put in order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorRules)]
pub(in crate::http) struct Answer {
    /// What a failure can be.
    categories: Vec<CategoryView>,
    /// The codes of this service's own problems.
    codes: Vec<CodeView>,
}

/// A category, with what a failure of it usually is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorCategory)]
struct CategoryView {
    #[schema(value_type = CategoryName)]
    category: &'static str,
    #[schema(value_type = SeverityName)]
    severity: &'static str,
    retryable: bool,
    /// HTTP statuses that speak for it.
    statuses: &'static [u16],
    /// Beginnings of words in codes and messages that speak for it.
    words: &'static [&'static str],
    #[serde(flatten)]
    texts: TextsView,
}

/// A code of a problem.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorCode)]
struct CodeView {
    code: &'static str,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    #[schema(value_type = CategoryName)]
    category: &'static str,
    #[schema(value_type = SeverityName)]
    severity: &'static str,
    retryable: bool,
    #[serde(flatten)]
    texts: TextsView,
}

/// What readers are told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorTexts)]
struct TextsView {
    title: String,
    /// For an end user.
    user_message: String,
    /// For a developer or an operator.
    suggestions: Vec<String>,
}

/// The rules of failures
///
/// Every category and every code, with severity, retryability and texts, in the language that `Accept-Language` prefers
/// of those that there are.
#[utoipa::path(get, path = "/v1/errors/rules", operation_id = "getErrorRules", tag = "errors",
    responses((status = 200, description = "The rules.", body = Answer)))]
pub(in crate::http) async fn rules(State(app): State<App>, headers: HeaderMap) -> Json<Answer> {
    let language = app.texts.language(&headers);
    let categories = Category::ALL.iter().map(|category| {
        let class = category.class();
        CategoryView {
            category: category.as_str(),
            severity: class.severity.as_str(),
            retryable: class.retryable,
            statuses: statuses(*category),
            words: words(*category),
            texts: app.texts.of_category(*category, language).into(),
        }
    });
    let codes = Code::ALL.iter().map(|code| {
        let (class, entry) = (code.class(), code.entry());
        CodeView {
            code: entry.code,
            status: entry.status.as_u16(),
            category: class.category.as_str(),
            severity: class.severity.as_str(),
            retryable: class.retryable,
            texts: app.texts.of_code(*code, language).into(),
        }
    });
    Json(Answer { categories: categories.collect(), codes: codes.collect() })
}

impl From<Wording<'_>> for TextsView {
    fn from(wording: Wording<'_>) -> Self {
        Self {
            title: wording.title.to_owned(),
            user_message: wording.user_message.to_owned(),
            suggestions: wording.suggestions.into_iter().map(str::to_owned).collect(),
        }
    }
}
