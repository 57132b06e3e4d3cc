//! `GET /v1/pools`: a page of pools.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::PoolView;
use crate::http::auth::By;
use crate::http::extract::Query;
use crate::http::openapi::refusals::refusals;
use crate::http::paging::WhichPage;
use crate::http::problem::Problem;
use crate::http::state::App;

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
#[utoipa::path(get, path = "/v1/pools", operation_id = "listPools", tag = "pools", params(WhichPage),
    responses((status = 200, description = "A page of pools.", body = Answer), Refusals))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    By(caller): By,
    Query(which): Query<WhichPage>,
) -> Result<Json<Answer>, Problem> {
    let page = app.pools.list(caller.tenant(), which.cursor.as_deref(), which.limit.0).await?;
    let pools = page.pools.into_iter().map(PoolView::from).collect();
    Ok(Json(Answer { pools, next_cursor: page.next_cursor }))
}
