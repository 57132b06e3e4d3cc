//! `POST /v1/workers/{id}/cordon`, `uncordon`, `drain`, `recycle`: what is to become of a worker.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::view::WorkerView;
use crate::access::Caller;
use crate::http::auth::By;
use crate::http::extract::WorkerInPath;
use crate::http::idempotency::RequestKey;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;
use crate::id::WorkerId;

refusals!(WorkerNotFound, StoreUnavailable);

async fn mark(app: &App, caller: &Caller, id: WorkerId, mark: &str, key: &RequestKey) -> Result<Response, Problem> {
    let once = key.once(caller, &format!("worker_{mark}"), &id.to_string());
    let worker = app.pools.mark(caller.tenant(), id, mark, once.as_ref()).await?;
    Ok(noted(Json(WorkerView::from(worker)).into_response()))
}

/// Give a worker no new sessions
///
/// One that it has goes on. Safe to repeat.
#[utoipa::path(post, path = "/v1/workers/{id}/cordon", operation_id = "cordonWorker", tag = "workers",
    params(RequestKey, ("id" = WorkerId, Path, description = "The worker.")),
    responses((status = 200, description = "The worker.", body = WorkerView), Refusals))]
pub(in crate::http) async fn cordon(
    State(app): State<App>,
    By(caller): By,
    WorkerInPath(id): WorkerInPath,
    key: RequestKey,
) -> Result<Response, Problem> {
    mark(&app, &caller, id, "cordon", &key).await
}

/// Give a worker sessions again
///
/// Safe to repeat.
#[utoipa::path(post, path = "/v1/workers/{id}/uncordon", operation_id = "uncordonWorker", tag = "workers",
    params(RequestKey, ("id" = WorkerId, Path, description = "The worker.")),
    responses((status = 200, description = "The worker.", body = WorkerView), Refusals))]
pub(in crate::http) async fn uncordon(
    State(app): State<App>,
    By(caller): By,
    WorkerInPath(id): WorkerInPath,
    key: RequestKey,
) -> Result<Response, Problem> {
    mark(&app, &caller, id, "uncordon", &key).await
}

/// Let a worker go once its session is over
///
/// At once where it has none. Safe to repeat.
#[utoipa::path(post, path = "/v1/workers/{id}/drain", operation_id = "drainWorker", tag = "workers",
    params(RequestKey, ("id" = WorkerId, Path, description = "The worker.")),
    responses((status = 200, description = "The worker.", body = WorkerView), Refusals))]
pub(in crate::http) async fn drain(
    State(app): State<App>,
    By(caller): By,
    WorkerInPath(id): WorkerInPath,
    key: RequestKey,
) -> Result<Response, Problem> {
    mark(&app, &caller, id, "drain", &key).await
}

/// Replace a worker
///
/// Once its session is over, or at once where it has none. Safe to repeat.
#[utoipa::path(post, path = "/v1/workers/{id}/recycle", operation_id = "recycleWorker", tag = "workers",
    params(RequestKey, ("id" = WorkerId, Path, description = "The worker.")),
    responses((status = 200, description = "The worker.", body = WorkerView), Refusals))]
pub(in crate::http) async fn recycle(
    State(app): State<App>,
    By(caller): By,
    WorkerInPath(id): WorkerInPath,
    key: RequestKey,
) -> Result<Response, Problem> {
    mark(&app, &caller, id, "recycle", &key).await
}
