//! `POST /v1/dispatches/{id}/alive`: the agent says how its session is.
//!
//! The agent has no API key: it shows the token that came with its job.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::DispatchView;
use crate::http::auth::bearer;
use crate::http::extract::{IdInPath, JsonBody};
use crate::http::fields::Session;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::{Code, Problem};
use crate::http::state::App;
use crate::id::DispatchId;

/// What the agent says.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"state": "busy"}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Report {
    state: Session,
}

refusals!(BadToken, DispatchNotFound, StaleToken, DispatchEnded, StoreUnavailable);

/// An agent says how its session is
///
/// A report counts for 5 seconds. 404 says to go on: the dispatch is not known here, or not yet. 409 and 410 say
/// to leave the room.
#[utoipa::path(post, path = "/v1/dispatches/{id}/alive", operation_id = "reportAlive", tag = "dispatches",
    params(("id" = DispatchId, Path, description = "The dispatch, from the attribute `greenroom.dispatch_id`.")),
    request_body = Report,
    security(("AgentToken" = [])),
    responses((status = 200, description = "The dispatch, with what was reported.", body = DispatchView), Refusals))]
pub(in crate::http) async fn alive(
    State(app): State<App>,
    IdInPath(id): IdInPath,
    headers: HeaderMap,
    JsonBody(report): JsonBody<Report>,
) -> Result<Json<DispatchView>, Problem> {
    let token = bearer(&headers).ok_or_else(|| Problem::new(Code::BadToken, "the agent's token is missing"))?;
    let dispatch = app.dispatches.report(id, token, report.state.0).await?;
    Ok(Json(dispatch.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dispatch::SessionState;

    #[test]
    fn a_report_is_one_word() {
        let read = serde_json::from_value::<Report>;
        assert_eq!(read(json!({"state": "busy"})).unwrap().state, Session(SessionState::Busy));
        for bad in [json!({}), json!({"state": "dead"}), json!({"state": null}), json!({"state": "open", "x": 1})] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
