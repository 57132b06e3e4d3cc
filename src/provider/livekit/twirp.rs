//! One call to the server's API: a JSON object there, a JSON object back.
//!
//! The official client is not used for this. It reads every error as JSON, and so cannot tell a wrong secret
//! (a 401 in plain text) from a proxy's error page; it puts no bound on what it reads; and it speaks protobuf, in
//! which nothing at all is a valid answer: a proxy's empty page would say that the room does not exist.

use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use livekit_token::VideoGrants;
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;

use super::answer::{self, CallError};
use super::token::Keys;
use crate::policy::Pace;
use crate::provider::ProviderError;

/// Shorter ones are words that may stand in any message.
const METADATA_BYTES_MIN: usize = 4;
const JSON: &str = "application/json";
/// A room of 3,000 people with metadata of 4 KB each fits.
const ANSWER_BYTES_MAX: usize = 16 << 20;
const ERROR_BYTES_MAX: usize = 64 << 10;
/// Shorter than load balancers keep an idle connection, so that a call rarely meets one just closed.
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The server's API.
#[derive(Debug)]
pub(super) struct Twirp {
    http: reqwest::Client,
    /// Up to and without the slash before `twirp`.
    base: String,
    call_timeout: Duration,
    pace: Pace,
    keys: Keys,
}

impl Twirp {
    /// A call takes at most `call_timeout`, and where that adapts less, but not below `least`.
    pub(super) fn new(
        base: String,
        call_timeout: Duration,
        least: Option<Duration>,
        keys: Keys,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            // Who repeats a call is the domain alone: two layers of repetitions multiply.
            .retry(reqwest::retry::never())
            .pool_idle_timeout(IDLE_CONNECTION_MAX)
            .tcp_keepalive(KEEP_ALIVE)
            .connect_timeout(call_timeout)
            .timeout(call_timeout)
            .user_agent(concat!("greenroom/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let pace = Pace::new(least.unwrap_or(call_timeout), call_timeout);
        Ok(Self { http, base, call_timeout, pace, keys })
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    /// Sends the message to `method` (`RoomService/ListRooms`) and reads the answer.
    pub(super) async fn call<Answer: DeserializeOwned>(
        &self,
        method: &'static str,
        grants: VideoGrants,
        request: &serde_json::Value,
    ) -> Result<Answer, CallError> {
        let began = Instant::now();
        let answer = self.exchange(method, grants, request).await;
        match &answer {
            Err(CallError::Failed(ProviderError::Timeout)) => self.pace.gave_up(method),
            // A connection that is refused at once says nothing of how long an answer takes.
            Err(CallError::Failed(ProviderError::Unavailable { .. })) => {}
            _ => self.pace.answered(method, began.elapsed()),
        }
        answer
    }

    async fn exchange<Answer: DeserializeOwned>(
        &self,
        method: &'static str,
        grants: VideoGrants,
        request: &serde_json::Value,
    ) -> Result<Answer, CallError> {
        let mut response = self
            .http
            .post(format!("{}/twirp/livekit.{method}", self.base))
            .header(AUTHORIZATION, self.authorization(grants)?)
            .header(CONTENT_TYPE, JSON)
            .body(request.to_string())
            .timeout(self.pace.timeout(method))
            .send()
            .await
            .map_err(answer::unreachable)?;
        let status = response.status();
        if status != StatusCode::OK {
            let body = read_start(&mut response, ERROR_BYTES_MAX).await?;
            let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            return Err(answer::refusal(status, retry_after, without_metadata(&body, request).as_bytes()));
        }
        let body = read_start(&mut response, ANSWER_BYTES_MAX + 1).await?;
        if body.len() > ANSWER_BYTES_MAX {
            return Err(answer::garbage("an answer of more than 16 MiB").into());
        }
        // Serde would take a list for an object as well.
        if body.first() != Some(&b'{') {
            return Err(answer::garbage("an answer that is no JSON object").into());
        }
        serde_json::from_slice(&body).map_err(|error| answer::garbage(&error.to_string()).into())
    }

    fn authorization(&self, grants: VideoGrants) -> Result<HeaderValue, ProviderError> {
        let unusable = |detail: &str| ProviderError::Rejected { code: "token".to_owned(), detail: detail.to_owned() };
        let token = self.keys.for_call(grants).map_err(|error| unusable(&error.to_string()))?;
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
            .map_err(|_| unusable("the token is no header value"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// The server's words without the agent's metadata: it may quote what it refuses, and that is told to nobody
/// but the agent.
fn without_metadata(body: &[u8], request: &serde_json::Value) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    let mut quoted = request.get("metadata").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    // As it is, in the JSON that we sent, and in JSON that quotes that.
    for _ in 0..3 {
        if quoted.len() >= METADATA_BYTES_MIN {
            text = text.replace(&quoted, "<metadata>");
        }
        let as_json = serde_json::Value::from(quoted.as_str()).to_string();
        as_json.trim_matches('"').clone_into(&mut quoted);
    }
    text
}

/// Reads a body to its end, or until `bytes_max` of it are there.
async fn read_start(response: &mut reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, ProviderError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(answer::unreachable)? {
        let room = bytes_max - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == bytes_max {
            break;
        }
    }
    Ok(body)
}
