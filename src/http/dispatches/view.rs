//! A dispatch as `/v1` shows it. Its token is not shown: it belongs to its agent.

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::dispatch::{Acquired, Dispatch};
use crate::http::fields::{AgentName, RoomName, Session, StateName, Timestamp};
use crate::id::DispatchId;

/// A dispatch.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Dispatch)]
pub(in crate::http) struct DispatchView {
    #[schema(value_type = DispatchId)]
    id: String,
    /// Whose it is.
    #[schema(value_type = AgentName)]
    tenant: String,
    #[schema(value_type = RoomName)]
    room: String,
    #[schema(value_type = AgentName)]
    agent: String,
    #[schema(value_type = StateName)]
    state: &'static str,
    /// Why it is in this state, in a word.
    #[schema(example = "agent_seen")]
    reason: String,
    /// Who runs the agents.
    #[schema(example = "livekit")]
    provider: String,
    /// The provider's own id. It changes when the agent is dispatched again.
    #[schema(required, example = "AD_TczvioUkGCkJ")]
    provider_id: Option<String>,
    created_at: Timestamp,
    last_activity_at: Timestamp,
    /// When the agent was last known to live; null until it was seen.
    #[schema(required)]
    seen_alive_at: Option<Timestamp>,
    /// When it ends if nobody comes; null while people are there.
    #[schema(required)]
    ttl_expires_at: Option<Timestamp>,
    /// How long it outlives the last person, in seconds.
    ttl_seconds: u32,
    /// When it ends, whoever is there; null where its age has no bound.
    #[schema(required)]
    ends_at: Option<Timestamp>,
    /// People in the room; agents, recorders and ingress do not count.
    participant_count: u64,
    /// Times the agent was dispatched again since it was last well.
    tries: u32,
    /// The agent's last word; null if it does not report.
    #[schema(required, value_type = Option<Session>)]
    reported: Option<String>,
}

impl From<Dispatch> for DispatchView {
    fn from(dispatch: Dispatch) -> Self {
        Self {
            id: dispatch.id.to_string(),
            tenant: dispatch.place.tenant.as_str().to_owned(),
            room: dispatch.place.room.as_str().to_owned(),
            agent: dispatch.place.agent.as_str().to_owned(),
            state: dispatch.state.as_str(),
            reason: dispatch.reason,
            provider: dispatch.provider,
            provider_id: dispatch.provider_id,
            created_at: Timestamp(dispatch.created_at_ms),
            last_activity_at: Timestamp(dispatch.last_activity_at_ms),
            seen_alive_at: dispatch.seen_alive_at_ms.map(Timestamp),
            ttl_expires_at: dispatch.ttl_expires_at_ms.map(Timestamp),
            ttl_seconds: dispatch.ttl_seconds,
            ends_at: dispatch.ends_at_ms.map(Timestamp),
            participant_count: dispatch.participant_count,
            tries: dispatch.tries,
            reported: dispatch.reported,
        }
    }
}

/// Several dispatches.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Dispatches)]
pub(in crate::http) struct DispatchesView {
    dispatches: Vec<DispatchView>,
}

impl From<Vec<Dispatch>> for DispatchesView {
    fn from(dispatches: Vec<Dispatch>) -> Self {
        Self { dispatches: dispatches.into_iter().map(DispatchView::from).collect() }
    }
}

/// How an acquire is answered: 201 made for this call, 200 found, 202 still under way.
pub(in crate::http) fn answer(acquired: Acquired) -> (StatusCode, Dispatch) {
    match acquired {
        Acquired::Created(dispatch) => (StatusCode::CREATED, dispatch),
        Acquired::Reused(dispatch) => (StatusCode::OK, dispatch),
        Acquired::Pending(dispatch) => (StatusCode::ACCEPTED, dispatch),
    }
}

/// The same for a kept contract, which tells in its body whether the dispatch was there before: the last of the three.
pub(in crate::http) fn kept_answer(acquired: &Acquired) -> (StatusCode, &Dispatch, bool) {
    match acquired {
        Acquired::Created(dispatch) => (StatusCode::OK, dispatch, false),
        Acquired::Reused(dispatch) => (StatusCode::OK, dispatch, true),
        Acquired::Pending(dispatch) => (StatusCode::ACCEPTED, dispatch, false),
    }
}

#[cfg(test)]
pub(in crate::http) mod tests {
    use super::*;
    use crate::dispatch::{Place, State};
    use crate::id::DispatchId;
    use crate::name::Name;

    /// A dispatch with something in every field.
    pub(in crate::http) fn sample() -> Dispatch {
        Dispatch {
            id: DispatchId::new(17),
            place: Place {
                tenant: Name::default_tenant(),
                room: Name::room("stand-up ☕").unwrap(),
                agent: Name::strict("voice").unwrap(),
            },
            state: State::Active,
            provider: "livekit".to_owned(),
            provider_id: Some("AD_1".to_owned()),
            token: 987_654_321,
            created_at_ms: 1_700_000_000_000,
            last_activity_at_ms: 1_700_000_001_000,
            seen_alive_at_ms: Some(1_700_000_002_000),
            reported: Some("open".to_owned()),
            ttl_expires_at_ms: None,
            ttl_seconds: 300,
            ends_at_ms: Some(1_700_000_003_000),
            participant_count: 2,
            tries: 1,
            reason: "agent_seen".to_owned(),
        }
    }

    #[test]
    fn every_field_is_shown_but_the_token() {
        let dispatch = sample();
        let id = dispatch.id.to_string();
        let view = serde_json::to_value(DispatchView::from(dispatch)).unwrap();
        assert_eq!(
            view,
            serde_json::json!({
                "id": id, "tenant": "default", "room": "stand-up ☕", "agent": "voice", "state": "active",
                "reason": "agent_seen", "provider": "livekit", "provider_id": "AD_1",
                "created_at": "2023-11-14T22:13:20.000Z", "last_activity_at": "2023-11-14T22:13:21.000Z",
                "seen_alive_at": "2023-11-14T22:13:22.000Z", "ttl_expires_at": null, "ttl_seconds": 300,
                "ends_at": "2023-11-14T22:13:23.000Z", "participant_count": 2, "tries": 1, "reported": "open",
            })
        );
        assert!(!view.to_string().contains("987654321"));
    }

    #[test]
    fn the_status_tells_how_it_was_acquired() {
        let status = |acquired| answer(acquired).0.as_u16();
        assert_eq!(status(Acquired::Created(sample())), 201);
        assert_eq!(status(Acquired::Reused(sample())), 200);
        assert_eq!(status(Acquired::Pending(sample())), 202);
    }
}
