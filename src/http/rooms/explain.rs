//! `GET /v1/rooms/{room}/explain`: why a room has, or has no, agent, step by step.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::dispatch::{Dispatch, Step};
use crate::http::auth::By;
use crate::http::dispatches::view::DispatchView;
use crate::http::extract::InPath;
use crate::http::fields::{RoomName, Timestamp};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::{Code, Problem};
use crate::http::state::App;
use crate::name::Name;

/// The room's dispatches and how they came to be as they are, oldest step first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explanation)]
pub(in crate::http) struct Answer {
    #[schema(value_type = RoomName)]
    room: String,
    dispatches: Vec<DispatchView>,
    steps: Vec<StepView>,
}

/// A step of a dispatch: when it came into a state, and why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Step)]
struct StepView {
    at: Timestamp,
    /// The event's id in its stream.
    #[schema(example = "1795253513787-0")]
    event_id: String,
    dispatch_id: String,
    agent: String,
    /// The state that it came into; a dispatch that is over has `ended`.
    #[schema(example = "idle")]
    state: String,
    /// Why, in a word.
    #[schema(example = "agent_seen")]
    reason: String,
}

refusals!(InvalidRequest, RoomNotFound, StoreUnavailable);

/// Why a room has, or has no, agent
///
/// The room's dispatches, and the steps that led here. Steps are taken from the newest 5,000 events of the room's
/// shard; older ones are gone.
#[utoipa::path(get, path = "/v1/rooms/{room}/explain", operation_id = "explainRoom", tag = "rooms",
    params(("room" = RoomName, Path, description = "The room.")),
    responses((status = 200, description = "Its dispatches and steps, oldest step first.", body = Answer), Refusals))]
pub(in crate::http) async fn explain(
    State(app): State<App>,
    By(caller): By,
    InPath(RoomName(room)): InPath<RoomName>,
) -> Result<Json<Answer>, Problem> {
    let (dispatches, steps) = app.dispatches.explain(caller.tenant(), &room).await?;
    answer(&room, dispatches, steps).map(Json)
}

fn answer(room: &Name, dispatches: Vec<Dispatch>, steps: Vec<Step>) -> Result<Answer, Problem> {
    if dispatches.is_empty() && steps.is_empty() {
        return Err(Problem::new(Code::RoomNotFound, "the room has no dispatch, and none is remembered"));
    }
    Ok(Answer {
        room: room.as_str().to_owned(),
        dispatches: dispatches.into_iter().map(DispatchView::from).collect(),
        steps: steps.into_iter().map(StepView::from).collect(),
    })
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        Self {
            at: Timestamp(step.at_ms),
            event_id: step.event_id,
            dispatch_id: step.dispatch_id,
            agent: step.agent,
            state: step.state,
            reason: step.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_that_nothing_is_known_of_is_not_found() {
        let room = Name::room("lobby").unwrap();
        assert_eq!(answer(&room, vec![], vec![]).unwrap_err().code, Code::RoomNotFound);
    }

    #[test]
    fn steps_are_told_with_their_time_and_reason() {
        let step = Step {
            event_id: "1700000000000-0".into(),
            at_ms: 1_700_000_000_000,
            dispatch_id: "dsp_1".into(),
            agent: "voice".into(),
            state: "starting".into(),
            reason: "created".into(),
        };
        let room = Name::room("lobby").unwrap();
        let told = serde_json::to_value(answer(&room, vec![], vec![step]).unwrap()).unwrap();
        assert_eq!(
            told,
            serde_json::json!({"room": "lobby", "dispatches": [], "steps": [{
                "at": "2023-11-14T22:13:20.000Z", "event_id": "1700000000000-0", "dispatch_id": "dsp_1",
                "agent": "voice", "state": "starting", "reason": "created",
            }]})
        );
    }
}
