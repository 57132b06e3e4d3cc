//! `POST /v1/dispatches/{id}/activity`: somebody is interested; a running time to live starts anew.

use axum::Json;
use axum::extract::State;

use super::view::DispatchView;
use crate::dispatch::Which;
use crate::http::auth::By;
use crate::http::extract::IdInPath;
use crate::http::idempotency::RequestKey;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::id::DispatchId;

refusals!(DispatchNotFound, DispatchEnding, StoreUnavailable);

/// Somebody is interested
///
/// `last_activity_at` becomes now, and a running time to live starts anew. It is no proof that the agent lives.
#[utoipa::path(post, path = "/v1/dispatches/{id}/activity", operation_id = "noteActivity", tag = "dispatches",
    params(RequestKey, ("id" = DispatchId, Path, description = "The dispatch.")),
    responses((status = 200, description = "The dispatch, touched.", body = DispatchView), Refusals))]
pub(in crate::http) async fn activity(
    State(app): State<App>,
    By(caller): By,
    IdInPath(id): IdInPath,
    key: RequestKey,
) -> Result<Json<DispatchView>, Problem> {
    let once = key.once(&caller, "activity", &id.to_string());
    let dispatch = app.dispatches.touch(caller.tenant(), Which::Id(id), once.as_ref()).await?;
    Ok(Json(dispatch.into()))
}
