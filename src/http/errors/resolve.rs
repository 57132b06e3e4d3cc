//! `DELETE /v1/errors/{id}`: forgets a group of failures. Should it happen again, it counts from one.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::error_report::GroupId;
use crate::http::auth::By;
use crate::http::extract::GroupInPath;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

refusals!(ErrorNotFound, StoreUnavailable);

/// Resolve a group of failures
///
/// It is forgotten. Should it happen again, it counts from one.
#[utoipa::path(delete, path = "/v1/errors/{id}", operation_id = "resolveError", tag = "errors",
    params(("id" = GroupId, Path, description = "The group.")),
    responses((status = 204, description = "It is forgotten."), Refusals))]
pub(in crate::http) async fn resolve(
    State(app): State<App>,
    By(caller): By,
    GroupInPath(id): GroupInPath,
) -> Result<Response, Problem> {
    app.errors.resolve(caller.tenant(), &id).await?;
    Ok(noted(StatusCode::NO_CONTENT.into_response()))
}
