//! `GET /v1/keys`: a page of the API keys, without their secrets.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::view::KeyView;
use crate::http::auth::By;
use crate::http::extract::Query;
use crate::http::fields::PageLimit;
use crate::http::problem::Problem;
use crate::http::state::App;

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Filter {
    cursor: Option<String>,
    #[serde(default)]
    limit: PageLimit,
}

/// A page; it may be short, and still have a next one.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Answer {
    keys: Vec<KeyView>,
    next_cursor: Option<String>,
}

pub(in crate::http) async fn list(
    State(app): State<App>,
    By(caller): By,
    Query(filter): Query<Filter>,
) -> Result<Json<Answer>, Problem> {
    let page = app.access.keys().list(&caller, filter.cursor.as_deref(), filter.limit.0).await?;
    let keys = page.keys.into_iter().map(KeyView::from).collect();
    Ok(Json(Answer { keys, next_cursor: page.next_cursor }))
}
