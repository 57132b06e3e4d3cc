//! A LiveKit server, over its HTTP API and its webhooks.
//!
//! What shapes this code: `ListDispatch` and `DeleteDispatch` on a room that does not exist answer only after
//! 3 s, and then as if the server were down. So each is asked only of a room that `ListRooms` knows, and where
//! it does not answer soon, `ListRooms` is asked again: the room may have closed in between.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use livekit_token::VideoGrants;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::time::{Instant, timeout};

use self::answer::CallError;
use self::message::{Dispatch, Dispatches, Participants, Room, Rooms};
use self::token::Keys;
pub use self::token::TokenError;
use self::twirp::Twirp;
pub use self::webhook::WebhookError;
use super::{AgentPresence, Look, Person, ProviderDispatch, ProviderError, RoomTimeouts};
use crate::dispatch::RoomNotice;

mod answer;
mod message;
mod token;
mod twirp;
mod webhook;

#[cfg(test)]
mod tests;

/// How often the room is looked for while a call goes on that a closed room leaves hanging.
/// Some hundred times what such a call takes otherwise.
const CLOSED_ROOM_PATIENCE: Duration = Duration::from_millis(500);

/// The room that [`LiveKit::ping`] asks for. It need not exist.
const PING_ROOM: &str = "greenroom-ping";

/// A LiveKit server. Cheap to clone.
#[derive(Clone)]
pub struct LiveKit {
    inner: Arc<Inner>,
}

struct Inner {
    /// For pages: `ws` or `wss`.
    url: String,
    twirp: Twirp,
}

impl fmt::Debug for LiveKit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveKit").field("url", &self.inner.url).field("keys", self.keys()).finish_non_exhaustive()
    }
}

/// Why no client could be made from the settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not an address of a LiveKit server.
    #[error("the LiveKit address {reason}")]
    Url {
        /// What is wrong with it. Does not repeat it: it may hold a password.
        reason: &'static str,
    },
    /// With an empty key or secret anybody could sign.
    #[error("the LiveKit API key and secret must not be empty")]
    NoCredentials,
    /// The HTTP client did not come up: no certificates, say.
    #[error("the HTTP client could not be set up")]
    Http(#[from] reqwest::Error),
}

impl LiveKit {
    /// A client for the server at `url` (`ws`, `wss`, `http` or `https`).
    ///
    /// `call_timeout` bounds each operation as a whole, of however many calls it consists.
    pub fn new(
        url: &str,
        api_key: &str,
        api_secret: &SecretString,
        call_timeout: Duration,
    ) -> Result<Self, SetupError> {
        Self::adaptive(url, api_key, api_secret, call_timeout, None)
    }

    /// The same, where the time-out of each call follows what such calls take, from `least` on.
    pub fn adaptive(
        url: &str,
        api_key: &str,
        api_secret: &SecretString,
        call_timeout: Duration,
        least: Option<Duration>,
    ) -> Result<Self, SetupError> {
        if api_key.is_empty() || api_secret.expose_secret().is_empty() {
            return Err(SetupError::NoCredentials);
        }
        let (http, ws) = addresses(url)?;
        let twirp = Twirp::new(http, call_timeout, least, Keys::new(api_key, api_secret))?;
        Ok(Self { inner: Arc::new(Inner { url: ws, twirp }) })
    }

    /// Where pages and agents connect: `ws://` or `wss://`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// Asks the server something cheap that needs the credentials; returns how long the answer took.
    pub async fn ping(&self) -> Result<Duration, ProviderError> {
        let start = Instant::now();
        self.bounded(self.room_exists(PING_ROOM)).await?;
        Ok(start.elapsed())
    }

    /// A token with which a page joins the room as `identity`.
    ///
    /// If the page comes before anyone has made the room, the room gets these time-outs all the same.
    /// `lifetime` is for the joining only: who is in the room stays. Fails without a room or an identity.
    pub fn join_token(
        &self,
        room: &str,
        identity: &str,
        name: Option<&str>,
        metadata: Option<&str>,
        timeouts: RoomTimeouts,
        lifetime: Duration,
    ) -> Result<SecretString, TokenError> {
        self.keys().for_join(room, identity, name, metadata, timeouts, lifetime)
    }

    /// A token with which an agent joins the room as `identity`, and counts as an agent there.
    pub fn agent_token(&self, room: &str, identity: &str, lifetime: Duration) -> Result<SecretString, TokenError> {
        self.keys().for_agent(room, identity, lifetime)
    }

    /// The room that a page's token lets it join, if the token was signed with our secret and counts now.
    pub fn room_of_page(&self, token: &str) -> Option<String> {
        self.keys().room_of_page(token)
    }

    /// Checks and reads a webhook: the `Authorization` header and the body exactly as they came.
    ///
    /// `None` for what is genuine and of no interest. A webhook that was recorded can be sent again for some
    /// six minutes; whoever takes the notice must know its `event_id` again.
    pub fn receive(&self, authorization: &str, body: &[u8]) -> Result<Option<RoomNotice>, WebhookError> {
        webhook::receive(self.keys(), authorization, body)
    }

    pub(super) async fn ensure_room(&self, room: &str, timeouts: RoomTimeouts) -> Result<(), ProviderError> {
        let request = json!({
            "name": room,
            "empty_timeout": timeouts.empty_timeout_seconds,
            "departure_timeout": timeouts.departure_timeout_seconds,
        });
        let grants = VideoGrants { room_create: true, ..VideoGrants::default() };
        let call = async { Ok(self.inner.twirp.call("RoomService/CreateRoom", grants, &request).await?) };
        let made: Room = self.bounded(call).await?;
        if made.name == room { Ok(()) } else { Err(answer::garbage("another room than the one asked for")) }
    }

    pub(super) async fn look(&self, room: &str, with_dispatches: bool) -> Result<Look, ProviderError> {
        self.bounded(self.look_unbounded(room, with_dispatches)).await
    }

    async fn look_unbounded(&self, room: &str, with_dispatches: bool) -> Result<Look, ProviderError> {
        if !self.room_exists(room).await? {
            return Ok(Look::default());
        }
        let (people, agents, dispatches) = if with_dispatches {
            let in_room = self.unless_closed(room, self.dispatches(room));
            let ((people, agents), dispatches) = tokio::try_join!(self.participants(room), in_room)?;
            let Some(dispatches) = dispatches else { return Ok(Look::default()) };
            (people, agents, Some(dispatches))
        } else {
            let (people, agents) = self.participants(room).await?;
            (people, agents, None)
        };
        Ok(Look { room_exists: true, people, agents, dispatches })
    }

    pub(super) async fn rooms(&self) -> Result<Vec<String>, ProviderError> {
        let grants = VideoGrants { room_list: true, ..VideoGrants::default() };
        let call = async { Ok(self.inner.twirp.call("RoomService/ListRooms", grants, &json!({})).await?) };
        let answer: Rooms = self.bounded(call).await?;
        Ok(answer.rooms.into_iter().map(|room| room.name).collect())
    }

    pub(super) async fn create(
        &self,
        room: &str,
        agent: &str,
        metadata: &str,
        attributes: HashMap<String, String>,
    ) -> Result<ProviderDispatch, ProviderError> {
        let request = json!({"room": room, "agent_name": agent, "metadata": metadata, "attributes": attributes});
        let method = "AgentDispatchService/CreateDispatch";
        let call = async { Ok(self.inner.twirp.call(method, admin_of(room), &request).await?) };
        let made: Dispatch = self.bounded(call).await?;
        let made = made.into_ours();
        if made.id.is_empty() { Err(answer::garbage("a dispatch without an id")) } else { Ok(made) }
    }

    pub(super) async fn delete(&self, room: &str, provider_id: &str) -> Result<(), ProviderError> {
        self.bounded(async {
            if self.room_exists(room).await? {
                self.unless_closed(room, self.delete_dispatch(room, provider_id)).await?;
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn remove_agent(&self, room: &str, identity: &str) -> Result<(), ProviderError> {
        let request = json!({"room": room, "identity": identity});
        let method = "RoomService/RemoveParticipant";
        let call = self.inner.twirp.call::<IgnoredAny>(method, admin_of(room), &request);
        self.bounded(async { gone(call.await) }).await
    }

    async fn room_exists(&self, room: &str) -> Result<bool, ProviderError> {
        let request = json!({"names": [room]});
        let grants = VideoGrants { room_list: true, ..VideoGrants::default() };
        let answer: Rooms = self.inner.twirp.call("RoomService/ListRooms", grants, &request).await?;
        Ok(answer.rooms.iter().any(|found| found.name == room))
    }

    async fn participants(&self, room: &str) -> Result<(Vec<Person>, Vec<AgentPresence>), ProviderError> {
        let request = json!({"room": room});
        let answer: Participants =
            self.inner.twirp.call("RoomService/ListParticipants", admin_of(room), &request).await?;
        Ok(answer.sort())
    }

    async fn dispatches(&self, room: &str) -> Result<Vec<ProviderDispatch>, ProviderError> {
        let request = json!({"room": room});
        let answer: Dispatches =
            self.inner.twirp.call("AgentDispatchService/ListDispatch", admin_of(room), &request).await?;
        Ok(answer.named())
    }

    async fn delete_dispatch(&self, room: &str, provider_id: &str) -> Result<(), ProviderError> {
        let request = json!({"room": room, "dispatch_id": provider_id});
        let method = "AgentDispatchService/DeleteDispatch";
        gone(self.inner.twirp.call::<IgnoredAny>(method, admin_of(room), &request).await)
    }

    /// Waits for a call that a closed room leaves hanging; `None` if the room is closed.
    async fn unless_closed<T>(
        &self,
        room: &str,
        call: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<Option<T>, ProviderError> {
        let mut call = pin!(call);
        let patience = CLOSED_ROOM_PATIENCE.min(self.inner.twirp.call_timeout() / 4);
        let answer = loop {
            match timeout(patience, &mut call).await {
                Ok(answer) => break answer,
                Err(_) if self.room_exists(room).await? => {}
                Err(_) => return Ok(None),
            }
        };
        match answer {
            Err(error @ ProviderError::Unavailable { .. }) => {
                if self.room_exists(room).await? {
                    Err(error)
                } else {
                    Ok(None)
                }
            }
            answer => answer.map(Some),
        }
    }

    async fn bounded<T>(&self, operation: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ProviderError> {
        timeout(self.inner.twirp.call_timeout(), operation).await.unwrap_or(Err(ProviderError::Timeout))
    }

    fn keys(&self) -> &Keys {
        self.inner.twirp.keys()
    }
}

/// What is not there counts as taken away.
fn gone<T>(answer: Result<T, CallError>) -> Result<(), ProviderError> {
    match answer {
        Ok(_) | Err(CallError::NotFound { .. }) => Ok(()),
        Err(CallError::Failed(error)) => Err(error),
    }
}

fn admin_of(room: &str) -> VideoGrants {
    VideoGrants { room_admin: true, room: room.to_owned(), ..VideoGrants::default() }
}

/// The address for calls and the one for pages, both without a slash at the end.
fn addresses(text: &str) -> Result<(String, String), SetupError> {
    let unusable = |reason| SetupError::Url { reason };
    let url = Url::parse(text).map_err(|_| unusable("is no URL"))?;
    let (http, ws) = match url.scheme() {
        "http" | "ws" => ("http", "ws"),
        "https" | "wss" => ("https", "wss"),
        _ => return Err(unusable("must begin with ws://, wss://, http:// or https://")),
    };
    if !url.has_host() {
        return Err(unusable("has no host"));
    }
    // It is handed to pages.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(unusable("must not hold a user or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(unusable("must end with the path"));
    }
    let rest = url.as_str()[url.scheme().len()..].trim_end_matches('/');
    Ok((format!("{http}{rest}"), format!("{ws}{rest}")))
}
