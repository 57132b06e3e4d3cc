//! `DELETE /v1/dispatches/{id}`: ends one dispatch; answers when it is gone at the provider.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::view::DispatchView;
use crate::dispatch::Which;
use crate::http::auth::By;
use crate::http::extract::IdInPath;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;
use crate::id::DispatchId;

refusals!(ObserveOnly, DispatchNotFound, ProviderRejected, ProviderUnavailable, StoreUnavailable);

/// End one dispatch
///
/// Answered when the dispatch is deleted at the provider. Whoever is in the room stays; the agent goes.
/// After a 503 the end goes on by itself.
#[utoipa::path(delete, path = "/v1/dispatches/{id}", operation_id = "endDispatch", tag = "dispatches",
    params(("id" = DispatchId, Path, description = "The dispatch.")),
    responses((status = 200, description = "The dispatch as it was while it ended.", body = DispatchView), Refusals))]
pub(in crate::http) async fn end(
    State(app): State<App>,
    By(caller): By,
    IdInPath(id): IdInPath,
) -> Result<Response, Problem> {
    let ended = app.dispatches.end(caller.tenant(), Which::Id(id)).await?;
    Ok(noted(Json(DispatchView::from(ended)).into_response()))
}
