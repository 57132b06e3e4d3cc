//! `GET /api/livekit/agent-status?roomName=`: whether a room has its agent.
//!
//! A room that nobody asked an agent for has none: that is an answer, not an error.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::page;
use crate::dispatch::{Dispatch, DispatchError, Which};
use crate::http::auth::By;
use crate::http::extract::Query;
use crate::http::fields::{AgentName, PageRoomName, Timestamp};
use crate::http::problem::Problem;
use crate::http::state::App;

/// Which room.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct Filter {
    room_name: PageRoomName,
    agent_name: Option<AgentName>,
}

/// Whether it has an agent, and since when.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Answer {
    has_agent: bool,
    #[serde(flatten)]
    of: Option<Details>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    dispatch_id: String,
    created_at: Timestamp,
    last_activity_at: Timestamp,
    participant_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_expires_at: Option<Timestamp>,
}

pub(in crate::http) async fn agent_status(
    State(app): State<App>,
    By(caller): By,
    Query(filter): Query<Filter>,
) -> Result<Json<Answer>, Problem> {
    let place = page::place(&caller, &app.settings, filter.room_name, filter.agent_name)?;
    Ok(Json(answer(app.dispatches.get(caller.tenant(), Which::Place(place)).await)?))
}

fn answer(found: Result<Dispatch, DispatchError>) -> Result<Answer, Problem> {
    match found {
        Ok(dispatch) if dispatch.has_agent() => Ok(Answer { has_agent: true, of: Some(dispatch.into()) }),
        Ok(_) | Err(DispatchError::NotFound) => Ok(Answer::default()),
        Err(error) => Err(error.into()),
    }
}

impl From<Dispatch> for Details {
    fn from(dispatch: Dispatch) -> Self {
        Self {
            dispatch_id: dispatch.id.to_string(),
            created_at: Timestamp(dispatch.created_at_ms),
            last_activity_at: Timestamp(dispatch.last_activity_at_ms),
            participant_count: dispatch.participant_count,
            ttl_expires_at: dispatch.ttl_expires_at_ms.map(Timestamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dispatch::State;
    use crate::http::dispatches::view::tests::sample;

    fn told(found: Result<Dispatch, DispatchError>) -> Value {
        serde_json::to_value(answer(found).unwrap()).unwrap()
    }

    #[test]
    fn a_live_dispatch_is_told_in_full() {
        let dispatch = Dispatch { ttl_expires_at_ms: Some(1_700_000_300_000), ..sample() };
        let id = dispatch.id.to_string();
        let full = json!({
            "hasAgent": true, "dispatchId": id, "createdAt": "2023-11-14T22:13:20.000Z",
            "lastActivityAt": "2023-11-14T22:13:21.000Z", "participantCount": 2,
            "ttlExpiresAt": "2023-11-14T22:18:20.000Z",
        });
        assert_eq!(told(Ok(dispatch)), full);
        assert!(told(Ok(sample())).get("ttlExpiresAt").is_none());
    }

    #[test]
    fn an_agent_that_is_gone_or_closed_is_not_told_as_there() {
        let gone = Dispatch { seen_alive_at_ms: None, ..sample() };
        let closed = Dispatch { reported: Some("closed".to_owned()), ..sample() };
        let degraded = Dispatch { state: State::Degraded, ..sample() };
        for lost in [gone, closed, degraded] {
            assert_eq!(told(Ok(lost)), json!({"hasAgent": false}));
        }
        let on_its_way = Dispatch { state: State::Starting, seen_alive_at_ms: None, ..sample() };
        assert_eq!(told(Ok(on_its_way))["hasAgent"], json!(true));
    }

    #[test]
    fn no_agent_is_an_answer() {
        assert_eq!(told(Err(DispatchError::NotFound)), json!({"hasAgent": false}));
        for state in [State::Ending, State::Failed] {
            assert_eq!(told(Ok(Dispatch { state, ..sample() })), json!({"hasAgent": false}));
        }
        assert!(answer(Err(DispatchError::StoreUnavailable { detail: "x".into() })).is_err());
    }
}
