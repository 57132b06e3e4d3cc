//! `GET /v1/keys`: a page of the API keys, without their secrets.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::KeyView;
use crate::http::auth::By;
use crate::http::extract::Query;
use crate::http::openapi::refusals::refusals;
use crate::http::paging::WhichPage;
use crate::http::problem::Problem;
use crate::http::state::App;

/// A page; it may be short, and still have a next one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyPage)]
pub(in crate::http) struct Answer {
    keys: Vec<KeyView>,
    /// Where the next page begins; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

refusals!(BadCursor, StoreUnavailable);

/// List API keys
///
/// Without their texts. Revoked and expired keys stay listed for 30 days.
#[utoipa::path(get, path = "/v1/keys", operation_id = "listKeys", tag = "keys", params(WhichPage),
    responses((status = 200, description = "A page of keys.", body = Answer), Refusals))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    By(caller): By,
    Query(which): Query<WhichPage>,
) -> Result<Json<Answer>, Problem> {
    let page = app.access.keys().list(&caller, which.cursor.as_deref(), which.limit.0).await?;
    let keys = page.keys.into_iter().map(KeyView::from).collect();
    Ok(Json(Answer { keys, next_cursor: page.next_cursor }))
}
