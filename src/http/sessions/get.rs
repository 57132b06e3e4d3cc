//! `GET /v1/pools/{pool}/sessions/{name}`: one session.

use axum::Json;
use axum::extract::State;

use super::Which;
use super::view::SessionView;
use crate::http::auth::By;
use crate::http::extract::{InPath, Query};
use crate::http::fields::{PoolNameText, SessionName};
use crate::http::openapi::refusals::refusals;
use crate::http::pools::pool_of;
use crate::http::problem::Problem;
use crate::http::state::App;

refusals!(SessionNotFound, StoreUnavailable);

/// One session
///
/// By its name, or with `kind=key` by its key; also one that waits in line.
#[utoipa::path(get, path = "/v1/pools/{pool}/sessions/{name}", operation_id = "getSession", tag = "sessions",
    params(("pool" = PoolNameText, Path, description = "The pool's name."),
        ("name" = SessionName, Path, description = "The session's name, or the key."), Which),
    responses((status = 200, description = "The session.", body = SessionView), Refusals))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    By(caller): By,
    InPath((pool, name)): InPath<(PoolNameText, SessionName)>,
    Query(which): Query<Which>,
) -> Result<Json<SessionView>, Problem> {
    Ok(Json(app.pools.session(&pool_of(&caller, pool), &which.session(name)).await?.into()))
}
