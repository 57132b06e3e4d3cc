//! `GET /v1/errors`: a page of the groups of failures, filtered by category, severity and operation.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::view::GroupView;
use crate::error_report::GroupFilter;
use crate::http::auth::By;
use crate::http::extract::Query;
use crate::http::fields::{CategoryName, Label, PageLimit, SeverityName};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

/// Which ones.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Filter {
    /// Only those of this category.
    category: Option<CategoryName>,
    /// Only those of this severity.
    severity: Option<SeverityName>,
    /// Only those of this operation.
    operation: Option<Label>,
    /// `next_cursor` of the page before, unchanged; without it the list begins.
    cursor: Option<String>,
    /// The most groups of a page; more than 100 are given in pages of 100.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1_000, default = 100, required = false)]
    limit: PageLimit,
}

/// A page; it may be short, and still have a next one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorGroupPage)]
pub(in crate::http) struct Answer {
    errors: Vec<GroupView>,
    /// Where the next page begins; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

refusals!(BadCursor, StoreUnavailable);

/// List failures in their groups
///
/// The one seen last first; a group that is seen again meanwhile moves to the front. Filters are applied to a page after
/// it is read: it may be short or empty and still have a next one.
#[utoipa::path(get, path = "/v1/errors", operation_id = "listErrors", tag = "errors", params(Filter),
    responses((status = 200, description = "A page of groups.", body = Answer), Refusals))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    By(caller): By,
    headers: HeaderMap,
    Query(filter): Query<Filter>,
) -> Result<Json<Answer>, Problem> {
    let page = app.errors.list(caller.tenant(), &filter.into()).await?;
    let language = app.texts.language(&headers);
    let errors = page.groups.into_iter().map(|group| GroupView::new(group, &app.texts, language)).collect();
    Ok(Json(Answer { errors, next_cursor: page.next_cursor }))
}

impl From<Filter> for GroupFilter {
    fn from(filter: Filter) -> Self {
        Self {
            category: filter.category.map(|category| category.0),
            severity: filter.severity.map(|severity| severity.0),
            operation: filter.operation.map(|operation| operation.0),
            cursor: filter.cursor,
            limit: filter.limit.0,
        }
    }
}
