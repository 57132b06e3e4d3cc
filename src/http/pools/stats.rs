//! `GET /v1/pools/{pool}/stats`: how a pool does, in numbers.

use axum::Json;
use axum::extract::State;

use super::pool_of;
use super::stats_view::StatsView;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::PoolNameText;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

/// The most sessions that are told with their pool; `GET …/sessions` has all.
const SESSIONS_MAX: u32 = 100;

refusals!(PoolNotFound, StoreUnavailable);

/// How a pool does
///
/// Its size by state, how often sessions were on a worker that had served before, how long they waited, how resets ended, and
/// its 100 oldest sessions.
#[utoipa::path(get, path = "/v1/pools/{pool}/stats", operation_id = "getPoolStats", tag = "pools",
    params(("pool" = PoolNameText, Path, description = "The pool's name.")),
    responses((status = 200, description = "The pool in numbers.", body = StatsView), Refusals))]
pub(in crate::http) async fn stats(
    State(app): State<App>,
    By(caller): By,
    InPath(name): InPath<PoolNameText>,
) -> Result<Json<StatsView>, Problem> {
    let name = pool_of(&caller, name);
    let pool = app.pools.get(&name).await?;
    let page = app.pools.sessions(&name, None, SESSIONS_MAX).await?;
    Ok(Json(StatsView::new(pool, page.sessions)))
}
