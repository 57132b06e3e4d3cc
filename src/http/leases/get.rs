//! `GET /v1/leases/{id}`: one lease.

use axum::Json;
use axum::extract::State;

use super::view::LeaseView;
use crate::http::auth::By;
use crate::http::extract::LeaseInPath;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::id::LeaseId;

refusals!(LeaseNotFound, StoreUnavailable);

/// One lease
#[utoipa::path(get, path = "/v1/leases/{id}", operation_id = "getLease", tag = "leases",
    params(("id" = LeaseId, Path, description = "The lease.")),
    responses((status = 200, description = "The lease.", body = LeaseView), Refusals))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    By(caller): By,
    LeaseInPath(id): LeaseInPath,
) -> Result<Json<LeaseView>, Problem> {
    let lease = app.pools.lease_of(caller.tenant(), id).await?;
    Ok(Json(LeaseView::from(lease)))
}
