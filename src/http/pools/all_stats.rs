//! `GET /api/v1/containers/pool/stats`: how all pools of the caller do. The address was there before; the numbers are those
//! of `/v1/pools/{pool}/stats`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::stats_view::StatsView;
use crate::http::auth::By;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

/// The most pools, and sessions of each, that are told.
const POOLS_MAX: u32 = 100;
const SESSIONS_MAX: u32 = 20;

/// All pools in numbers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AllPoolStats)]
pub(in crate::http) struct Answer {
    success: bool,
    /// By shard and name, 100 at most, each with its 20 oldest sessions.
    pools: Vec<StatsView>,
    /// Whether there are more pools.
    truncated: bool,
}

refusals!(StoreUnavailable);

/// How all pools do
///
/// In the form that was there before; `GET /v1/pools/{pool}/stats` tells the same of one pool.
#[utoipa::path(get, path = "/api/v1/containers/pool/stats", operation_id = "getAllPoolStats", tag = "pools",
    responses((status = 200, description = "The pools in numbers.", body = Answer), Refusals))]
pub(in crate::http) async fn all_stats(State(app): State<App>, By(caller): By) -> Result<Json<Answer>, Problem> {
    let page = app.pools.list(caller.tenant(), None, POOLS_MAX).await?;
    let mut pools = Vec::new();
    for pool in page.pools {
        let sessions = app.pools.sessions(&pool.name, None, SESSIONS_MAX).await?.sessions;
        pools.push(StatsView::new(pool, sessions));
    }
    Ok(Json(Answer { success: true, pools, truncated: page.next_cursor.is_some() }))
}
