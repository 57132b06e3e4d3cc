//! `DELETE /v1/pools/{pool}/sessions/{name}`: ends a session, whoever holds it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Which;
use crate::http::auth::By;
use crate::http::extract::{InPath, Query};
use crate::http::fields::{PoolNameText, SessionName};
use crate::http::openapi::refusals::refusals;
use crate::http::pools::pool_of;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

refusals!(StoreUnavailable);

/// End a session
///
/// By its name, or with `kind=key` by its key; it takes no token. Its worker forgets it before it serves another; its holder
/// hears `lease_lost`. Safe to repeat: one that is over counts as ended.
#[utoipa::path(delete, path = "/v1/pools/{pool}/sessions/{name}", operation_id = "endSession", tag = "sessions",
    params(("pool" = PoolNameText, Path, description = "The pool's name."),
        ("name" = SessionName, Path, description = "The session's name, or the key."), Which),
    responses((status = 204, description = "It is over."), Refusals))]
pub(in crate::http) async fn end(
    State(app): State<App>,
    By(caller): By,
    InPath((pool, name)): InPath<(PoolNameText, SessionName)>,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    app.pools.end_session(&pool_of(&caller, pool), &which.session(name)).await?;
    Ok(noted(StatusCode::NO_CONTENT.into_response()))
}
