//! `POST /v1/dispatches/{id}/alive`: the agent says how its session is.
//!
//! The agent has no API key: it shows the token that came with its job.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;

use super::view::DispatchView;
use crate::http::auth::bearer;
use crate::http::extract::{IdInPath, JsonBody};
use crate::http::fields::Session;
use crate::http::problem::{Code, Problem};
use crate::http::state::App;

/// What the agent says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Report {
    state: Session,
}

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
