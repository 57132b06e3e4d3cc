//! `GET /v1/locks/{name}`: who holds it.

use axum::Json;
use axum::extract::State;

use super::view::LockView;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::LockName;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

refusals!(LockNotHeld, StoreUnavailable);

/// See who holds a lock
#[utoipa::path(get, path = "/v1/locks/{name}", operation_id = "getLock", tag = "locks",
    params(("name" = LockName, Path, description = "The lock's name.")),
    responses((status = 200, description = "Its holder.", body = LockView), Refusals))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    By(caller): By,
    InPath(LockName(name)): InPath<LockName>,
) -> Result<Json<LockView>, Problem> {
    Ok(Json(app.locks.get(caller.tenant(), &name).await?.into()))
}
