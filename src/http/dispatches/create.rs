//! `POST /v1/dispatches`: the live agent of a room, or a new one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::view::{DispatchView, answer};
use crate::dispatch::{Acquire, Acquired, Place};
use crate::http::auth::By;
use crate::http::budget::Until;
use crate::http::fields::{AgentName, Metadata, RoomName, TtlSeconds};
use crate::http::idempotency::{KeyedJson, RequestKey};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::{App, HttpSettings};
use crate::name::Name;

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DispatchRequest, example = json!({"room": "lobby", "agent": "guide", "metadata": "{\"lang\":\"de\"}", "ttl_seconds": 120}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Request {
    room: RoomName,
    agent: AgentName,
    /// Handed to the agent's job.
    #[serde(default)]
    metadata: Metadata,
    /// How long the dispatch outlives the last person; without it the agent's own setting counts, else that of the service.
    ttl_seconds: Option<TtlSeconds>,
    /// `pool`: a worker of the pool that bears the agent's name serves the room; left out, the service's own provider
    /// does.
    provider: Option<ProviderName>,
}

/// Who is to serve a dispatch, where it is not the service's own provider.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ProviderName {
    Pool,
}

/// A dispatch that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AcquiredDispatch)]
struct Answer {
    #[serde(flatten)]
    dispatch: DispatchView,
    /// Whether it was there before this call.
    reused: bool,
}

refusals!(
    AgentDraining,
    NoReadyWorker,
    ObserveOnly,
    PoolNotFound,
    TooManyDispatches,
    ProviderRejected,
    ProviderUnavailable,
    StoreUnavailable
);

/// Ask for a room's agent
///
/// The live agent of the room, or a new one. Safe to repeat: it finds what the first call made. Answered when the
/// dispatch exists at the provider, not when the agent is in the room.
#[utoipa::path(post, path = "/v1/dispatches", operation_id = "createDispatch", tag = "dispatches",
    params(RequestKey), request_body = Request,
    responses(
        (status = 200, description = "Found: `metadata` and `ttl_seconds` of the request change nothing.", body = Answer),
        (status = 201, description = "Made for this call.", body = Answer),
        (status = 202, description = "Still under way after 10 s. It goes on by itself; ask again.", body = Answer),
        Refusals,
    ))]
pub(in crate::http) async fn create(
    State(app): State<App>,
    By(caller): By,
    Until(deadline): Until,
    KeyedJson(request, key): KeyedJson<Request>,
) -> Result<Response, Problem> {
    let acquire = request.into_acquire(&app.settings, caller.tenant());
    let acquire = acquire.once(|place| key.once(&caller, "dispatches", place));
    let acquired = app.dispatches.acquire(acquire.until(deadline)).await?;
    Ok(respond(acquired))
}

impl Request {
    fn into_acquire(self, settings: &HttpSettings, tenant: &Name) -> Acquire {
        Acquire {
            place: Place { tenant: tenant.clone(), room: self.room.0, agent: self.agent.0 },
            metadata: self.metadata.0,
            ttl_seconds: self.ttl_seconds.map(|ttl| ttl.0),
            by_pool: matches!(self.provider, Some(ProviderName::Pool)),
            patience: settings.page_patience,
            once: None,
        }
    }
}

fn respond(acquired: Acquired) -> Response {
    let (status, dispatch) = answer(acquired);
    let reused = status == StatusCode::OK;
    let answer = (status, Json(Answer { dispatch: dispatch.into(), reused })).into_response();
    if reused { answer } else { noted(answer) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::view::tests::sample;
    use super::*;

    fn read(body: serde_json::Value) -> Result<Request, String> {
        serde_json::from_value(body).map_err(|error| error.to_string())
    }

    #[test]
    fn a_request_becomes_a_wish_of_the_domain() {
        let settings = HttpSettings::new(Name::strict("default-agent").unwrap());
        let full = json!({"room": "lobby", "agent": "voice", "metadata": "{\"a\":1}", "ttl_seconds": 60});
        let acquire = read(full).unwrap().into_acquire(&settings, &Name::tenant("acme").unwrap());
        assert_eq!((acquire.place.room.as_str(), acquire.place.agent.as_str()), ("lobby", "voice"));
        assert_eq!(acquire.place.tenant.as_str(), "acme");
        assert_eq!((acquire.metadata.as_str(), acquire.ttl_seconds), ("{\"a\":1}", Some(60)));
        assert_eq!(acquire.patience, settings.page_patience);

        let least = json!({"room": "lobby", "agent": "voice"});
        let least = read(least).unwrap().into_acquire(&settings, &Name::default_tenant());
        assert_eq!((least.metadata.as_str(), least.ttl_seconds), ("", None));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (body, why) in [
            (json!({"agent": "voice"}), "missing field `room`"),
            (json!({"room": "lobby"}), "missing field `agent`"),
            (json!({"room": "lobby", "agent": "voice", "metdata": ""}), "unknown field `metdata`"),
            (json!({"room": "lobby", "agent": "voice", "ttl_seconds": 0}), "ttl_seconds must be"),
            (json!({"room": "lobby", "agent": "a b"}), "an agent's name must"),
            (json!({"room": "lobby", "agent": "voice", "metadata": {}}), "expected metadata"),
            (json!([]), "invalid"),
        ] {
            assert!(read(body.clone()).unwrap_err().contains(why), "{body}");
        }
    }

    #[tokio::test]
    async fn the_answer_is_the_dispatch_and_whether_it_was_reused() {
        for (acquired, status, reused) in [
            (Acquired::Created(sample()), 201, false),
            (Acquired::Reused(sample()), 200, true),
            (Acquired::Pending(sample()), 202, false),
        ] {
            let response = respond(acquired);
            assert_eq!(response.status().as_u16(), status);
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((&body["reused"], &body["agent"]), (&json!(reused), &json!("voice")));
        }
    }
}
