//! `GET /v1/pools/{pool}/workers`: a page of a pool's workers.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::WorkerView;
use crate::http::auth::By;
use crate::http::extract::{InPath, Query};
use crate::http::fields::PoolNameText;
use crate::http::openapi::refusals::refusals;
use crate::http::paging::WhichPage;
use crate::http::pools::pool_of;
use crate::http::problem::Problem;
use crate::http::state::App;

/// A page of workers, the oldest first. One that comes or goes meanwhile may be missed, or told twice.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkerPage)]
pub(in crate::http) struct Answer {
    workers: Vec<WorkerView>,
    /// Where the next page begins; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

refusals!(BadCursor, StoreUnavailable);

/// List a pool's workers
#[utoipa::path(get, path = "/v1/pools/{pool}/workers", operation_id = "listWorkers", tag = "workers",
    params(("pool" = PoolNameText, Path, description = "The pool's name."), WhichPage),
    responses((status = 200, description = "A page of workers.", body = Answer), Refusals))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    By(caller): By,
    InPath(name): InPath<PoolNameText>,
    Query(which): Query<WhichPage>,
) -> Result<Json<Answer>, Problem> {
    let page = app.pools.workers(&pool_of(&caller, name), which.cursor.as_deref(), which.limit.0).await?;
    let workers = page.workers.into_iter().map(WorkerView::from).collect();
    Ok(Json(Answer { workers, next_cursor: page.next_cursor }))
}
