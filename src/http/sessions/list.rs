//! `GET /v1/pools/{pool}/sessions`: a page of a pool's sessions.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::SessionView;
use crate::http::auth::By;
use crate::http::extract::{InPath, Query};
use crate::http::fields::PoolNameText;
use crate::http::openapi::refusals::refusals;
use crate::http::paging::WhichPage;
use crate::http::pools::pool_of;
use crate::http::problem::Problem;
use crate::http::state::App;

/// A page of sessions, the oldest first. One that comes or goes meanwhile may be missed, or told twice.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PoolSessionPage)]
pub(in crate::http) struct Answer {
    sessions: Vec<SessionView>,
    /// Where the next page begins; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

refusals!(BadCursor, StoreUnavailable);

/// List a pool's sessions
///
/// All that have a worker, those without a name too. Who waits in line is not listed.
#[utoipa::path(get, path = "/v1/pools/{pool}/sessions", operation_id = "listSessions", tag = "sessions",
    params(("pool" = PoolNameText, Path, description = "The pool's name."), WhichPage),
    responses((status = 200, description = "A page of sessions.", body = Answer), Refusals))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    By(caller): By,
    InPath(name): InPath<PoolNameText>,
    Query(which): Query<WhichPage>,
) -> Result<Json<Answer>, Problem> {
    let page = app.pools.sessions(&pool_of(&caller, name), which.cursor.as_deref(), which.limit.0).await?;
    let sessions = page.sessions.into_iter().map(SessionView::from).collect();
    Ok(Json(Answer { sessions, next_cursor: page.next_cursor }))
}
