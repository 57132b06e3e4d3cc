//! `POST /v1/dispatches/{id}/ttl`: `{"ttl_seconds": 60}` starts or moves the time to live,
//! `{"ttl_seconds": null}` stops it until people come and go again.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::DispatchView;
use crate::dispatch::{TtlChange, Which};
use crate::http::auth::By;
use crate::http::extract::IdInPath;
use crate::http::fields::{TtlSeconds, nullable};
use crate::http::idempotency::{KeyedJson, RequestKey};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;
use crate::id::DispatchId;

/// The time to live as it shall be. The field is required: an empty object cancels nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TtlChange, example = json!({"ttl_seconds": 60}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Change {
    /// Seconds until the dispatch ends, counted from now; null for no such time.
    #[serde(deserialize_with = "nullable")]
    #[schema(required)]
    ttl_seconds: Option<TtlSeconds>,
}

refusals!(DispatchNotFound, DispatchEnding, StoreUnavailable);

/// Start, move or stop the time to live
///
/// A number of seconds starts or moves it, null stops it until people come and go again. It ends nothing while
/// people are there.
#[utoipa::path(post, path = "/v1/dispatches/{id}/ttl", operation_id = "changeTtl", tag = "dispatches",
    params(RequestKey, ("id" = DispatchId, Path, description = "The dispatch.")),
    request_body = Change,
    responses((status = 200, description = "The dispatch with its new time to live.", body = DispatchView), Refusals))]
pub(in crate::http) async fn ttl(
    State(app): State<App>,
    By(caller): By,
    IdInPath(id): IdInPath,
    KeyedJson(change, key): KeyedJson<Change>,
) -> Result<Response, Problem> {
    let once = key.once(&caller, "ttl", &id.to_string());
    let dispatch = app.dispatches.change_ttl(caller.tenant(), Which::Id(id), change.into(), once.as_ref()).await?;
    Ok(noted(Json(DispatchView::from(dispatch)).into_response()))
}

impl From<Change> for TtlChange {
    fn from(change: Change) -> Self {
        change.ttl_seconds.map_or(Self::Cancel, |ttl| Self::Arm(ttl.0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_arms_and_null_cancels() {
        let read = |body| serde_json::from_value::<Change>(body).map(TtlChange::from);
        assert_eq!(read(json!({"ttl_seconds": 60})).unwrap(), TtlChange::Arm(60));
        assert_eq!(read(json!({"ttl_seconds": null})).unwrap(), TtlChange::Cancel);
        for bad in
            [json!({}), json!({"ttl_seconds": 0}), json!({"ttl_seconds": "60"}), json!({"ttl_seconds": 1, "a": 1})]
        {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
