//! `GET /v1/errors/{id}`: one group of failures, with its last few.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;

use super::view::DetailedView;
use crate::error_report::GroupId;
use crate::http::auth::By;
use crate::http::extract::GroupInPath;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

refusals!(ErrorNotFound, StoreUnavailable);

/// One group of failures
#[utoipa::path(get, path = "/v1/errors/{id}", operation_id = "getError", tag = "errors",
    params(("id" = GroupId, Path, description = "The group.")),
    responses((status = 200, description = "The group, with its last few failures.", body = DetailedView), Refusals))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    By(caller): By,
    headers: HeaderMap,
    GroupInPath(id): GroupInPath,
) -> Result<Json<DetailedView>, Problem> {
    let group = app.errors.get(caller.tenant(), &id).await?;
    Ok(Json(DetailedView::new(group, &app.texts, app.texts.language(&headers))))
}
