//! `GET /v1/workers/{id}`: one worker, with its history.

use axum::Json;
use axum::extract::State;

use super::view::WorkerView;
use crate::http::auth::By;
use crate::http::extract::WorkerInPath;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::id::WorkerId;

refusals!(WorkerNotFound, StoreUnavailable);

/// One worker
///
/// With its last ten steps and their reasons; also one that is gone, for an hour.
#[utoipa::path(get, path = "/v1/workers/{id}", operation_id = "getWorker", tag = "workers",
    params(("id" = WorkerId, Path, description = "The worker.")),
    responses((status = 200, description = "The worker.", body = WorkerView), Refusals))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    By(caller): By,
    WorkerInPath(id): WorkerInPath,
) -> Result<Json<WorkerView>, Problem> {
    Ok(Json(app.pools.worker(caller.tenant(), id).await?.into()))
}
