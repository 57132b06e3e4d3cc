//! `GET /v1/pools/{pool}/sessions`: a page of a pool's sessions.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::view::SessionView;
use crate::http::auth::By;
use crate::http::extract::{InPath, Query};
use crate::http::fields::{PageLimit, PoolNameText};
use crate::http::openapi::refusals::refusals;
use crate::http::pools::pool_of;
use crate::http::problem::Problem;
use crate::http::state::App;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Filter {
    /// `next_cursor` of the page before, unchanged; without it the list begins.
    cursor: Option<String>,
    /// The most sessions of a page.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1_000, default = 100, required = false)]
    limit: PageLimit,
}

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
    params(("pool" = PoolNameText, Path, description = "The pool's name."), Filter),
    responses((status = 200, description = "A page of sessions.", body = Answer), Refusals))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    By(caller): By,
    InPath(name): InPath<PoolNameText>,
    Query(filter): Query<Filter>,
) -> Result<Json<Answer>, Problem> {
    let page = app.pools.sessions(&pool_of(&caller, name), filter.cursor.as_deref(), filter.limit.0).await?;
    let sessions = page.sessions.into_iter().map(SessionView::from).collect();
    Ok(Json(Answer { sessions, next_cursor: page.next_cursor }))
}
