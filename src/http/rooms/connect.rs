//! `POST /v1/connect`: all that a page needs to meet its agent: address, token and dispatch.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::dispatch::{Acquire, Place};
use crate::http::auth::By;
use crate::http::budget::Until;
use crate::http::dispatches::view::{DispatchView, answer};
use crate::http::fields::{AgentName, Metadata, PersonName, RoomName, TtlSeconds};
use crate::http::idempotency::{KeyedJson, RequestKey};
use crate::http::livekit::door::JoinRequest;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::{App, HttpSettings};
use crate::name::Name;

/// Who wants to join what.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ConnectRequest, example = json!({"room": "lobby", "agent": "guide", "identity": "ann", "name": "Ann"}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Request {
    room: RoomName,
    /// The default agent of the service if not given.
    agent: Option<AgentName>,
    /// One of a kind in the room; made up if not given.
    identity: Option<PersonName>,
    /// As others see the person.
    name: Option<PersonName>,
    /// Handed to the agent's job.
    #[serde(default)]
    metadata: Metadata,
    /// How long the dispatch outlives the last person.
    ttl_seconds: Option<TtlSeconds>,
}

/// What a page needs.
#[derive(Serialize, ToSchema)]
#[schema(as = Connection)]
struct Answer<'a> {
    /// LiveKit's address.
    #[schema(example = "wss://live.example")]
    url: &'a str,
    /// LiveKit's access token for the person.
    token: &'a str,
    /// Whom the token is for.
    #[schema(value_type = PersonName)]
    identity: &'a str,
    dispatch: DispatchView,
    /// Whether the dispatch was there before this call.
    reused: bool,
}

refusals!(
    AgentDraining,
    NoReadyWorker,
    ObserveOnly,
    PoolNotFound,
    TooManyDispatches,
    LivekitNotConfigured,
    ProviderRejected,
    ProviderUnavailable,
    StoreUnavailable
);

/// All that a page needs to meet its agent
///
/// Address, token and dispatch. The token lets this identity join this room within 10 minutes, publish, subscribe
/// and send data.
#[utoipa::path(post, path = "/v1/connect", operation_id = "connect", tag = "rooms",
    params(RequestKey), request_body = Request,
    responses(
        (status = 200, description = "The agent was found.", body = Answer<'_>),
        (status = 201, description = "The agent was made for this call.", body = Answer<'_>),
        (status = 202, description = "The agent is still under way after 10 s; the token is good.", body = Answer<'_>),
        Refusals,
    ))]
pub(in crate::http) async fn connect(
    State(app): State<App>,
    By(caller): By,
    Until(deadline): Until,
    KeyedJson(request, key): KeyedJson<Request>,
) -> Result<Response, Problem> {
    let livekit = app.livekit()?;
    let identity = request.identity.as_ref().map_or_else(new_identity, |identity| identity.0.as_str().to_owned());
    let name = request.name.as_ref().map(|name| name.0.as_str().to_owned());
    let acquire = request.into_acquire(&app.settings, caller.tenant());
    // Before the dispatch: a token that cannot be made leaves no agent waiting.
    acquire.place.check()?;
    let join = JoinRequest { room: &acquire.place.provider_room(), identity: &identity, name: name.as_deref() };
    let token = livekit.join_token(join).map_err(Problem::internal)?;

    let acquire = acquire.until(deadline).once(|place| key.once(&caller, "connect", place));
    let (status, dispatch) = answer(app.dispatches.acquire(acquire).await?);
    let reused = status == StatusCode::OK;
    let (url, token) = (livekit.public_url(), token.expose_secret());
    let answer = Answer { url, token, identity: &identity, dispatch: dispatch.into(), reused };
    let response = (status, Json(answer)).into_response();
    Ok(if reused { response } else { noted(response) })
}

impl Request {
    fn into_acquire(self, settings: &HttpSettings, tenant: &Name) -> Acquire {
        let agent = self.agent.map_or_else(|| settings.default_agent.clone(), |agent| agent.0);
        Acquire {
            place: Place { tenant: tenant.clone(), room: self.room.0, agent },
            metadata: self.metadata.0,
            ttl_seconds: self.ttl_seconds.map(|ttl| ttl.0),
            by_pool: false,
            patience: settings.page_patience,
            once: None,
        }
    }
}

/// LiveKit puts out who joins under an identity that is there already, so nobody shares one.
fn new_identity() -> String {
    format!("person-{}", Uuid::now_v7().simple())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_agent_is_the_default_one_unless_named() {
        let settings = HttpSettings::new(Name::strict("concierge").unwrap());
        let tenant = Name::default_tenant();
        let read = |body| serde_json::from_value::<Request>(body).unwrap().into_acquire(&settings, &tenant);
        let least = read(json!({"room": "lobby"}));
        assert_eq!((least.place.agent.as_str(), least.ttl_seconds), ("concierge", None));
        let full = read(
            json!({"room": "lobby", "agent": "voice", "identity": "ann", "name": "Ann B.", "metadata": "m", "ttl_seconds": 9}),
        );
        assert_eq!((full.place.agent.as_str(), full.metadata.as_str(), full.ttl_seconds), ("voice", "m", Some(9)));
        assert_eq!(full.patience, settings.page_patience);
    }

    #[test]
    fn two_people_without_identity_are_two() {
        assert_ne!(new_identity(), new_identity());
    }
}
