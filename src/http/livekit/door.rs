//! What the HTTP layer needs of LiveKit itself: reading its webhooks, and making and reading tokens to join a room.

use secrecy::SecretString;

use crate::dispatch::RoomNotice;
use crate::http::problem::{Code, Problem};
use crate::http::state::AppState;

/// Reads a webhook: the value of its `Authorization` header and its raw body. `None` is an
/// event that is of no concern.
type Receive = dyn Fn(&str, &[u8]) -> Result<Option<RoomNotice>, WebhookRefusal> + Send + Sync;

/// Makes a token to join a room, or says why it cannot.
type JoinToken = dyn Fn(JoinRequest<'_>) -> Result<SecretString, String> + Send + Sync;

/// The room that a token lets a page into, if the token is ours and counts now.
type PageRoom = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Who wants to join which room.
#[derive(Debug, Clone, Copy)]
pub struct JoinRequest<'a> {
    /// The room, as LiveKit calls it.
    pub room: &'a str,
    /// The person's identity: one of a kind in the room.
    pub identity: &'a str,
    /// The person's name, as others see it.
    pub name: Option<&'a str>,
}

/// Why a webhook is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookRefusal {
    /// LiveKit did not sign it, or not this body, or not now.
    #[error("the signature is not valid: {0}")]
    BadSignature(String),
    /// Signed, but not to be understood.
    #[error("the webhook makes no sense: {0}")]
    Unusable(String),
}

/// A configured LiveKit.
pub struct LiveKitDoor {
    public_url: String,
    receive: Box<Receive>,
    join_token: Box<JoinToken>,
    page_room: Box<PageRoom>,
}

impl LiveKitDoor {
    /// `public_url` is the address at which pages reach LiveKit (`wss://…`).
    pub fn new(
        public_url: impl Into<String>,
        receive: impl Fn(&str, &[u8]) -> Result<Option<RoomNotice>, WebhookRefusal> + Send + Sync + 'static,
        join_token: impl Fn(JoinRequest<'_>) -> Result<SecretString, String> + Send + Sync + 'static,
    ) -> Self {
        let (receive, join_token) = (Box::new(receive), Box::new(join_token));
        Self { public_url: public_url.into(), receive, join_token, page_room: Box::new(|_| None) }
    }

    /// Lets pages in that show a token: `page_room` tells which room of the provider it is for. Without it none is.
    #[must_use]
    pub fn with_pages(self, page_room: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { page_room: Box::new(page_room), ..self }
    }

    pub(in crate::http) fn public_url(&self) -> &str {
        &self.public_url
    }

    pub(in crate::http) fn receive(
        &self,
        authorization: &str,
        body: &[u8],
    ) -> Result<Option<RoomNotice>, WebhookRefusal> {
        (self.receive)(authorization, body)
    }

    pub(in crate::http) fn page_room(&self, token: &str) -> Option<String> {
        (self.page_room)(token)
    }

    pub(in crate::http) fn join_token(&self, request: JoinRequest<'_>) -> Result<SecretString, String> {
        (self.join_token)(request)
    }
}

impl std::fmt::Debug for LiveKitDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveKitDoor").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

impl AppState {
    /// LiveKit, or the problem that it is not configured.
    pub(in crate::http) fn livekit(&self) -> Result<&LiveKitDoor, Problem> {
        let missing = || Problem::new(Code::LivekitNotConfigured, "the service has no LiveKit server");
        self.livekit.as_ref().ok_or_else(missing)
    }
}
