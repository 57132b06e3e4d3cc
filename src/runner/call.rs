//! `POST /v1/runners/{runner}/sync`: what a runner has, what it is to do, and the call itself.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::frames::Environment;
use crate::scrub;

/// An answer is read up to here.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// A refusal is.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// What a call may take beyond what the server was asked to wait.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What a runner tells.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    pub(super) pool: &'a str,
    pub(super) boot: &'a str,
    pub(super) report: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<u64>,
    pub(super) host: &'a str,
    pub(super) driver: &'a str,
    pub(super) capacity: usize,
    pub(super) draining: bool,
    pub(super) wait_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) store: Option<&'a str>,
    pub(super) workers: Vec<Report>,
}

/// What a runner tells of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    pub(super) id: String,
    pub(super) state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instruction: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) done: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lease: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<String>,
    pub(super) released: bool,
    /// Whether that is a key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) keyed: bool,
    pub(super) failures: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) endpoint: Option<String>,
    pub(super) requests: u64,
    pub(super) errors: u64,
}

/// Where a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Waits for its turn, or loads.
    Starting,
    /// Waits for a session.
    Ready,
    /// Has one.
    Busy,
    /// Forgets one, or could not be shown to have forgotten it.
    Resetting,
    /// Is being ended.
    Stopping,
    /// Is not there any more.
    Gone,
}

impl Report {
    /// A worker of which nothing is known yet.
    pub(super) fn new(id: String, state: State) -> Self {
        Self {
            id,
            state,
            instruction: None,
            done: None,
            detail: None,
            lease: None,
            session: None,
            released: false,
            keyed: false,
            failures: 0,
            memory_bytes: None,
            pid: None,
            endpoint: None,
            requests: 0,
            errors: 0,
        }
    }

    /// It has the lease and session (with `true` that of a key), or none any more; what it said of another is over.
    pub(super) fn serve(&mut self, served: Option<(String, String, bool)>) {
        let (session, keyed) = served.map(|(lease, session, keyed)| ((lease, session), keyed)).unzip();
        (self.lease, self.session) = session.unzip();
        (self.keyed, self.released) = (keyed.unwrap_or_default(), false);
    }
}

/// What a runner is to do.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) store: String,
    pub(super) revision: String,
    /// Whether `workers` has all that are to be.
    #[serde(default = "all")]
    pub(super) complete: bool,
    /// How often the server wants to hear the runner.
    #[serde(default)]
    pub(super) heartbeat_seconds: Option<u64>,
    #[serde(default)]
    pub(super) health_seconds: Option<u64>,
    #[serde(default)]
    pub(super) workers: Vec<Wish>,
}

/// What a server means that does not say.
fn all() -> bool {
    true
}

/// What is to be done with a worker.
#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    pub(super) id: String,
    pub(super) action: Action,
    #[serde(default)]
    pub(super) instruction: Option<u64>,
    #[serde(default)]
    pub(super) within_ms: Option<u64>,
    #[serde(default)]
    pub(super) assignment: Option<Assignment>,
    #[serde(default)]
    pub(super) reset: Option<Mode>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    /// It is to run.
    Run,
    /// It gets a session.
    Assign,
    /// It serves a session.
    Keep,
    /// It forgets a session.
    Reset,
    /// It ends.
    Stop,
    /// What a newer server wants: then the worker is left as it is.
    #[serde(other)]
    Unknown,
}

/// How a worker forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// By itself, and it is looked whether it has.
    Soft,
    /// By another process in its place; also for what a newer server wants.
    #[serde(other)]
    Restart,
}

/// A session for a worker. Its `Debug` shows no secret.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Assignment {
    pub(super) lease: String,
    pub(super) session: String,
    #[serde(default)]
    pub(super) keyed: bool,
    #[serde(default)]
    pub(super) environment: Environment,
    #[serde(default)]
    pub(super) metadata: Option<SecretString>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It passes: the server, or what it keeps things in, is away.
    #[error("{0}")]
    Passing(String),
    /// Somebody has to mend something: a key, a name.
    #[error("{0}")]
    Refused(String),
    /// Something newer was heard of this runner, or of another of its name.
    #[error("{0}")]
    Overtaken(String),
    /// The server does not know what this adds to.
    #[error("{0}")]
    Incomplete(String),
}

/// Makes the calls of one runner.
#[derive(Debug)]
pub(super) struct Caller {
    http: reqwest::Client,
    url: Url,
    authorization: HeaderValue,
}

impl Caller {
    /// To that server (with whatever path it has), as that runner, with that key.
    pub(super) fn new(server: &Url, runner: &str, key: &SecretString) -> anyhow::Result<Self> {
        anyhow::ensure!(matches!(server.scheme(), "http" | "https"), "the server's address begins with http or https");
        anyhow::ensure!(server.username().is_empty() && server.password().is_none(), "the key does not go there");
        let mut url = server.clone();
        url.set_query(None);
        url.set_path(&format!("{}/v1/runners/{runner}/sync", server.path().trim_end_matches('/')));
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {}", key.expose_secret())).ok().context("no key has that form")?;
        authorization.set_sensitive(true);
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_MAX)
            .user_agent(concat!("greenroom/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, url, authorization })
    }

    /// One call. Dropping it ends it: the next tells everything anew.
    pub(super) async fn sync(&self, request: &Request<'_>) -> Result<Answer, Trouble> {
        let body = serde_json::to_vec(request).map_err(|error| Trouble::Refused(error.to_string()))?;
        let passing = |error: reqwest::Error| Trouble::Passing(words(error));
        let mut response = self
            .http
            .post(self.url.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .timeout(Duration::from_secs(request.wait_seconds) + ANSWER_MAX)
            .body(body)
            .send()
            .await
            .map_err(passing)?;
        let status = response.status();
        let bytes_max = if status == StatusCode::OK { ANSWER_BYTES_MAX } else { REFUSAL_BYTES_MAX };
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(passing)? {
            if bytes.len() + chunk.len() > bytes_max {
                return Err(Trouble::Passing(format!("an answer of more than {bytes_max} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        if status != StatusCode::OK {
            return Err(refusal(status, &bytes));
        }
        // What is wrong with it is not told: it may quote a secret.
        serde_json::from_slice(&bytes).map_err(|_| Trouble::Passing("an answer that makes no sense".to_owned()))
    }
}

/// What is wrong without the address, which the log has anyhow.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let first: &dyn std::error::Error = &error;
    let causes = std::iter::successors(Some(first), |cause| cause.source());
    scrub::foreign(&causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

fn refusal(status: StatusCode, body: &[u8]) -> Trouble {
    #[derive(Default, Deserialize)]
    struct Problem {
        #[serde(default)]
        code: String,
        #[serde(default)]
        detail: String,
    }
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let text = scrub::foreign(&format!("{} {} {}", status.as_u16(), problem.code, problem.detail));
    match (status, problem.code.as_str()) {
        (StatusCode::CONFLICT, "stale_report") => return Trouble::Overtaken(text),
        (StatusCode::CONFLICT, "incomplete_report") => return Trouble::Incomplete(text),
        _ => {}
    }
    let passes = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    if passes { Trouble::Passing(text) } else { Trouble::Refused(text) }
}
