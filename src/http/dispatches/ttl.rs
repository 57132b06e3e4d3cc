//! `POST /v1/dispatches/{id}/ttl`: `{"ttl_seconds": 60}` starts or moves the time to live,
//! `{"ttl_seconds": null}` stops it until people come and go again.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::view::DispatchView;
use crate::dispatch::{TtlChange, Which};
use crate::http::auth::By;
use crate::http::extract::IdInPath;
use crate::http::fields::{TtlSeconds, nullable};
use crate::http::idempotency::KeyedJson;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

/// The time to live as it shall be. The field is required: an empty object cancels nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Change {
    #[serde(deserialize_with = "nullable")]
    ttl_seconds: Option<TtlSeconds>,
}

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
