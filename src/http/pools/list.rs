//! `GET /v1/pools`: a page of pools.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::view::PoolView;
use crate::http::auth::By;
use crate::http::extract::Query;
use crate::http::fields::PageLimit;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Filter {
    /// `next_cursor` of the page before, unchanged; without it the list begins.
    cursor: Option<String>,
    /// The most pools of a page.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1_000, default = 100, required = false)]
    limit: PageLimit,
}

/// A page; it may be short, and still have a next one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PoolPage)]
pub(in crate::http) struct Answer {
    pools: Vec<PoolView>,
    /// Where the next page begins; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

refusals!(BadCursor, StoreUnavailable);

/// List pools
#[utoipa::path(get, path = "/v1/pools", operation_id = "listPools", tag = "pools", params(Filter),
    responses((status = 200, description = "A page of pools.", body = Answer), Refusals))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    By(caller): By,
    Query(filter): Query<Filter>,
) -> Result<Json<Answer>, Problem> {
    let page = app.pools.list(caller.tenant(), filter.cursor.as_deref(), filter.limit.0).await?;
    let pools = page.pools.into_iter().map(PoolView::from).collect();
    Ok(Json(Answer { pools, next_cursor: page.next_cursor }))
}
