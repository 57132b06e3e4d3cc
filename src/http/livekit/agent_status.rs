//! `GET /api/livekit/agent-status?roomName=`: whether a room has its agent.
//!
//! A room that nobody asked an agent for has none: that is an answer, not an error.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page;
use crate::dispatch::{Dispatch, DispatchError, Which};
use crate::http::auth::By;
use crate::http::extract::Query;
use crate::http::fields::{AgentName, PageRoomName, Timestamp};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::id::DispatchId;

/// Which room.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct Filter {
    /// The room, as LiveKit has it.
    room_name: PageRoomName,
    /// The default agent of the service if not given.
    agent_name: Option<AgentName>,
}

/// Whether it has an agent, and since when; of no agent nothing else is told.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = AgentStatus)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Answer {
    has_agent: bool,
    #[schema(value_type = DispatchId, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    dispatch_id: Option<String>,
    #[schema(value_type = Timestamp, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[schema(value_type = Timestamp, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_activity_at: Option<Timestamp>,
    /// People in the room.
    #[schema(value_type = u64, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    participant_count: Option<u64>,
    /// When it ends if nobody comes; left out while people are there.
    #[schema(value_type = Timestamp, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_expires_at: Option<Timestamp>,
}

refusals!(StoreUnavailable);

/// Whether a room has its agent
///
/// The browser contract. `hasAgent` means that the agent is there as far as is known, or on its way. A room that
/// nobody asked an agent for has none: that is an answer, not an error.
#[utoipa::path(get, path = "/api/livekit/agent-status", operation_id = "agentStatus", tag = "livekit",
    params(Filter),
    responses((status = 200, description = "Whether it has one, and since when.", body = Answer), Refusals))]
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
        Ok(dispatch) if dispatch.has_agent() => Ok(dispatch.into()),
        Ok(_) | Err(DispatchError::NotFound) => Ok(Answer::default()),
        Err(error) => Err(error.into()),
    }
}

impl From<Dispatch> for Answer {
    fn from(dispatch: Dispatch) -> Self {
        Self {
            has_agent: true,
            dispatch_id: Some(dispatch.id.to_string()),
            created_at: Some(Timestamp(dispatch.created_at_ms)),
            last_activity_at: Some(Timestamp(dispatch.last_activity_at_ms)),
            participant_count: Some(dispatch.participant_count),
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
