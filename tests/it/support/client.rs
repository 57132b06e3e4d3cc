//! A client whose every answer is held against the OpenAPI document. Tests call greenroom by no other.

use std::time::Duration;

use reqwest::{IntoUrl, Method, Response, Result};

use super::contract::{self, Exchange, breach};

/// A client as `reqwest`'s.
#[derive(Debug, Clone)]
pub(crate) struct Client(reqwest::Client);

/// A request as `reqwest`'s.
#[derive(Debug)]
pub(crate) struct Request(reqwest::RequestBuilder);

/// One GET.
pub(crate) async fn get(url: &str) -> Result<Response> {
    Client::new(Duration::from_mins(1)).request(Method::GET, url).send().await
}

impl Client {
    /// A client that waits so long for an answer.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self(reqwest::Client::builder().no_proxy().timeout(timeout).build().expect("a client"))
    }

    /// One that waits as long as any answer may take.
    pub(crate) fn patient() -> Self {
        Self::new(Duration::from_secs(80))
    }

    pub(crate) fn request(&self, method: Method, url: impl IntoUrl) -> Request {
        Request(self.0.request(method, url))
    }

    pub(crate) fn get(&self, url: impl IntoUrl) -> Request {
        self.request(Method::GET, url)
    }

    pub(crate) fn post(&self, url: impl IntoUrl) -> Request {
        self.request(Method::POST, url)
    }
}

impl Request {
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    pub(crate) fn bearer_auth(self, token: &str) -> Self {
        Self(self.0.bearer_auth(token))
    }

    pub(crate) fn query(self, query: &[(&str, &str)]) -> Self {
        Self(self.0.query(query))
    }

    pub(crate) fn json(self, body: &serde_json::Value) -> Self {
        Self(self.0.json(body))
    }

    pub(crate) fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.body(body))
    }

    /// The answer; one that the document does not promise fails the test.
    pub(crate) async fn send(self) -> Result<Response> {
        let (client, request) = self.0.build_split();
        let request = request?;
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let (answer, breach) = held(&method, &path, client.execute(request).await?).await?;
        assert!(breach.is_none(), "{}", breach.unwrap_or_default());
        Ok(answer)
    }
}

/// The status of an answer to a POST that is not the test's own; a breach fails the test in the end.
/// Answers without a request's id are not greenroom's.
pub(crate) async fn status_of_post(answer: Response) -> Option<u16> {
    let (status, path) = (answer.status().as_u16(), answer.url().path().to_owned());
    if answer.headers().contains_key("x-request-id") {
        let (_, breach) = Box::pin(held(&Method::POST, &path, answer)).await.ok()?;
        contract::set_aside(breach);
    }
    Some(status)
}

/// The same answer, and what the document does not promise of it.
async fn held(method: &Method, path: &str, answer: Response) -> Result<(Response, Option<String>)> {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await?;
    let breach = breach(&Exchange { method, path, status: status.as_u16(), headers: &headers, body: &body });
    let mut answer = http::Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok((answer.into(), breach))
}
