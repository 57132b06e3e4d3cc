//! `GET /v1/breakers`: a page of breakers.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::BreakerView;
use crate::http::auth::By;
use crate::http::extract::Query;
use crate::http::openapi::refusals::refusals;
use crate::http::paging::WhichPage;
use crate::http::problem::Problem;
use crate::http::state::App;

/// A page; it may be short, and still have a next one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BreakerPage)]
pub(in crate::http) struct Answer {
    breakers: Vec<BreakerView>,
    /// Where the next page begins; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

refusals!(BadCursor, StoreUnavailable);

/// List breakers
///
/// Those of the caller's tenant that were used in the last 30 days; greenroom's own are the default tenant's.
#[utoipa::path(get, path = "/v1/breakers", operation_id = "listBreakers", tag = "breakers", params(WhichPage),
    responses((status = 200, description = "A page of breakers.", body = Answer), Refusals))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    By(caller): By,
    Query(which): Query<WhichPage>,
) -> Result<Json<Answer>, Problem> {
    let page = app.breakers.list(caller.tenant(), which.cursor.as_deref(), which.limit.0).await?;
    let breakers = page.breakers.into_iter().map(BreakerView::from).collect();
    Ok(Json(Answer { breakers, next_cursor: page.next_cursor }))
}
