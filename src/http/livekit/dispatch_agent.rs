//! `POST /api/livekit/dispatch-agent`: what a page calls when it opens: the room's agent, found or made.

use std::fmt;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::Ref;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};

use super::page;
use crate::access::Caller;
use crate::dispatch::{Acquire, Acquired};
use crate::http::auth::By;
use crate::http::budget::Until;
use crate::http::dispatches::view::kept_answer;
use crate::http::fields::{AgentName, PageRoomName, RoomName, whole};
use crate::http::idempotency::{KeyedJson, RequestKey};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::{App, HttpSettings};
use crate::id::DispatchId;
use crate::name::Name;

/// What a page sends.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PageRequest, example = json!({"roomName": "lobby", "timezone": "Europe/Zurich", "timezoneOffset": -60}))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct Request {
    /// The room, as LiveKit has it.
    room_name: PageRoomName,
    /// The default agent of the service if not given.
    agent_name: Option<AgentName>,
    timezone: Option<Timezone>,
    #[schema(schema_with = offset)]
    timezone_offset: Option<Offset>,
}

/// A time zone's name, such as `Europe/Zurich`.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[schema(value_type = RoomName, example = "Europe/Zurich")]
#[serde(try_from = "String")]
struct Timezone(String);

/// An offset as browsers have it, in minutes (`-120`), or as it is written (`+02:00`).
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Offset {
    Minutes(i16),
    Written(Timezone),
}

/// What the agent is told of the page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<Timezone>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone_offset: Option<Offset>,
}

/// The agent that a page was given.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PageAnswer)]
#[serde(rename_all = "camelCase")]
struct Answer {
    success: bool,
    #[schema(value_type = DispatchId)]
    dispatch_id: String,
    /// Whether it was there before this call.
    reused: bool,
    /// Left out where the agent is there.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
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

/// Ask for a room's agent, as pages do
///
/// The browser contract. The time zone becomes the metadata of a new dispatch and changes nothing on reuse.
#[utoipa::path(post, path = "/api/livekit/dispatch-agent", operation_id = "dispatchAgent", tag = "livekit",
    params(RequestKey), request_body = Request,
    responses(
        (status = 200, description = "Found or made.", body = Answer),
        (status = 202, description = "Still under way after 20 s. It goes on by itself.", body = Answer),
        Refusals,
    ))]
pub(in crate::http) async fn dispatch_agent(
    State(app): State<App>,
    By(caller): By,
    Until(deadline): Until,
    KeyedJson(request, key): KeyedJson<Request>,
) -> Result<Response, Problem> {
    let acquire = request.into_acquire(&app.settings, &caller)?;
    let acquire = acquire.once(|place| key.once(&caller, "dispatch-agent", place));
    let acquired = app.dispatches.acquire(acquire.until(deadline)).await?;
    Ok(respond(&acquired))
}

impl Request {
    fn into_acquire(self, settings: &HttpSettings, caller: &Caller) -> Result<Acquire, Problem> {
        let page = PageMetadata { timezone: self.timezone, timezone_offset: self.timezone_offset };
        Ok(Acquire {
            place: page::place(caller, settings, self.room_name, self.agent_name)?,
            metadata: page.into_json()?,
            ttl_seconds: None,
            by_pool: false,
            patience: settings.creation_budget,
            once: None,
        })
    }
}

impl PageMetadata {
    fn into_json(self) -> Result<String, Problem> {
        if self.timezone.is_none() && self.timezone_offset.is_none() {
            return Ok(String::new());
        }
        serde_json::to_string(&self).map_err(|error| Problem::internal(error.to_string()))
    }
}

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OffsetVisitor)
    }
}

struct OffsetVisitor;

impl OffsetVisitor {
    fn minutes<E: de::Error>(number: impl TryInto<i16>) -> Result<Offset, E> {
        number.try_into().map(Offset::Minutes).map_err(|_| E::custom("timezoneOffset must be -32768 to 32767 minutes"))
    }
}

impl Visitor<'_> for OffsetVisitor {
    type Value = Offset;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timezoneOffset in minutes, or written as `+02:00`")
    }

    fn visit_i64<E: de::Error>(self, minutes: i64) -> Result<Offset, E> {
        Self::minutes(minutes)
    }

    fn visit_u64<E: de::Error>(self, minutes: u64) -> Result<Offset, E> {
        Self::minutes(minutes)
    }

    fn visit_f64<E: de::Error>(self, minutes: f64) -> Result<Offset, E> {
        let whole = whole(minutes).ok_or_else(|| E::invalid_type(de::Unexpected::Float(minutes), &self))?;
        Self::minutes(whole)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Offset, E> {
        Timezone::try_from(text.to_owned()).map(Offset::Written).map_err(E::custom)
    }
}

impl TryFrom<String> for Timezone {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Name::room(text) {
            Ok(name) => Ok(Self(name.as_str().to_owned())),
            Err(error) => Err(format!("a time zone {error}")),
        }
    }
}

fn offset() -> Schema {
    let minutes = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(i16::MIN)).maximum(Some(i16::MAX));
    OneOfBuilder::new()
        .description(Some("An offset as browsers have it, in minutes (`-120`), or as it is written (`+02:00`)."))
        .item(minutes)
        .item(Ref::from_schema_name("Timezone"))
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .build()
        .into()
}

fn respond(acquired: &Acquired) -> Response {
    let (status, dispatch, reused) = kept_answer(acquired);
    let message = (status == StatusCode::ACCEPTED).then_some("The agent is still on its way.");
    let answer = Answer { success: true, dispatch_id: dispatch.id.to_string(), reused, message };
    let response = (status, Json(answer)).into_response();
    if reused { response } else { noted(response) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::access::CallerId;
    use crate::http::dispatches::view::tests::sample;

    fn acquire(body: serde_json::Value) -> Result<Acquire, String> {
        let settings = HttpSettings::new(Name::strict("concierge").unwrap());
        let request = serde_json::from_value::<Request>(body).map_err(|error| error.to_string())?;
        let caller = Caller::root(CallerId::Settings);
        Ok(request.into_acquire(&settings, &caller).unwrap())
    }

    #[test]
    fn a_page_waits_the_whole_creation_budget_for_the_default_agent() {
        let least = acquire(json!({"roomName": "lobby"})).unwrap();
        assert_eq!((least.place.room.as_str(), least.place.agent.as_str()), ("lobby", "concierge"));
        assert_eq!((least.metadata.as_str(), least.patience.as_secs()), ("", 20));
        let named = acquire(json!({"roomName": "lobby", "agentName": "voice"})).unwrap();
        assert_eq!(named.place.agent.as_str(), "voice");
    }

    #[test]
    fn the_time_zone_reaches_the_agent() {
        for (given, told) in [
            (
                json!({"roomName": "a", "timezone": "Europe/Zurich", "timezoneOffset": -120}),
                json!({"timezone": "Europe/Zurich", "timezoneOffset": -120}),
            ),
            (json!({"roomName": "a", "timezoneOffset": "+02:00"}), json!({"timezoneOffset": "+02:00"})),
            (json!({"roomName": "a", "timezoneOffset": -60.0}), json!({"timezoneOffset": -60})),
            (json!({"roomName": "a", "timezone": "UTC", "timezoneOffset": null}), json!({"timezone": "UTC"})),
        ] {
            let metadata = acquire(given).unwrap().metadata;
            assert_eq!(serde_json::from_str::<serde_json::Value>(&metadata).unwrap(), told);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            json!({}),
            json!({"roomName": ""}),
            json!({"roomName": "a", "room": "a"}),
            json!({"roomName": "a", "agentName": "a b"}),
            json!({"roomName": "a", "timezone": "\u{0}"}),
            json!({"roomName": "a", "timezone": 1}),
            json!({"roomName": "a", "timezoneOffset": {"minutes": 1}}),
            json!({"roomName": "a", "timezoneOffset": 1_000_000}),
            json!({"roomName": "a", "timezoneOffset": 0.5}),
        ] {
            assert!(acquire(bad.clone()).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn the_answer_has_the_shape_that_pages_know() {
        let dispatch = sample();
        let id = dispatch.id.to_string();
        for (acquired, status, told) in [
            (Acquired::Created(dispatch.clone()), 200, json!({"success": true, "dispatchId": id, "reused": false})),
            (Acquired::Reused(dispatch.clone()), 200, json!({"success": true, "dispatchId": id, "reused": true})),
            (
                Acquired::Pending(dispatch),
                202,
                json!({"success": true, "dispatchId": id, "reused": false, "message": "The agent is still on its way."}),
            ),
        ] {
            let response = respond(&acquired);
            assert_eq!(response.status().as_u16(), status);
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), told);
        }
    }
}
