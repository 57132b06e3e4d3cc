//! Extractors of our own, so that every refusal is a problem document.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::problem::{Code, Problem};
use super::state::App;
use crate::access::AccessError;
use crate::error_report::{GroupId, ReportError};
use crate::id::{DispatchId, KeyId, LeaseId, WorkerId};
use crate::pool::PoolError;
use crate::scrub;

/// The longest explanation of a refusal, in characters: it repeats what the caller sent.
const DETAIL_CHARS_MAX: usize = 300;

/// A JSON body.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        parse_json(&RawBody::of_json(request, app).await?).map(Self)
    }
}

/// What the JSON says, or what is wrong with it.
pub(super) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => Problem::new(Code::InvalidRequest, shortened(&error.to_string())),
        Category::Syntax | Category::Eof | Category::Io => {
            Problem::new(Code::MalformedJson, shortened(&error.to_string()))
        }
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(content_type)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The bytes of a body, at most as many as the settings allow.
#[derive(Debug)]
pub(super) struct RawBody(pub(super) Bytes);

impl FromRequest<App> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if is_encoded(request.headers()) {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "bodies are taken uncompressed, without Content-Encoding",
            ));
        }
        let bytes_max = app.settings.body_bytes_max;
        let announced =
            request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|bytes| bytes > bytes_max) {
            return Err(too_large(bytes_max));
        }
        read(request.into_body(), bytes_max).await.map(Self)
    }
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

impl RawBody {
    /// The bytes of a body that says it is JSON.
    pub(super) async fn of_json(request: Request, app: &App) -> Result<Bytes, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(Code::UnsupportedMediaType, "the content type must be application/json"));
        }
        Ok(Self::from_request(request, app).await?.0)
    }
}

async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut chunks = body.into_data_stream();
    // Most bodies are one chunk, which is then not copied.
    let mut first = Bytes::new();
    let mut rest = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Code::MalformedRequest, "the body broke off"))?;
        if first.len() + rest.len() + chunk.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        if first.is_empty() {
            first = chunk;
        } else {
            rest.extend_from_slice(&chunk);
        }
    }
    if rest.is_empty() { Ok(first) } else { Ok([first.as_ref(), &rest].concat().into()) }
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body may have at most {bytes_max} bytes"))
}

/// The query string.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // The parser replaces what is not UTF-8; then two names would be one.
        if !decodes_to_utf8(parts.uri.query().unwrap_or_default()) {
            return Err(Problem::new(Code::MalformedRequest, "the query is not percent-encoded UTF-8"));
        }
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(error) => Err(Problem::new(Code::InvalidRequest, shortened(&error.body_text()))),
        }
    }
}

fn decodes_to_utf8(query: &str) -> bool {
    let mut bytes = Vec::with_capacity(query.len());
    let mut rest = query.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ if first == b'%' => return false,
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    std::str::from_utf8(&bytes).is_ok()
}

/// The id in the path. What is no id names no dispatch.
#[derive(Debug)]
pub(super) struct IdInPath(pub(super) DispatchId);

impl<S: Send + Sync> FromRequestParts<S> for IdInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let InPath(text) = InPath::<String>::from_request_parts(parts, state).await?;
        let id = text.parse().map_err(|_| Problem::new(Code::DispatchNotFound, "there is no dispatch of that id"))?;
        Ok(Self(id))
    }
}

/// The id of an API key in the path. What is no id names no key.
#[derive(Debug)]
pub(super) struct KeyIdInPath(pub(super) KeyId);

impl<S: Send + Sync> FromRequestParts<S> for KeyIdInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let InPath(text) = InPath::<String>::from_request_parts(parts, state).await?;
        text.parse().map(Self).map_err(|_| AccessError::NotFound.into())
    }
}

/// The id of a worker in the path. What is no id names no worker.
#[derive(Debug)]
pub(super) struct WorkerInPath(pub(super) WorkerId);

impl<S: Send + Sync> FromRequestParts<S> for WorkerInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let InPath(text) = InPath::<String>::from_request_parts(parts, state).await?;
        text.parse().map(Self).map_err(|_| PoolError::NoSuchWorker.into())
    }
}

/// The id of a lease in the path. What is no id names no lease.
#[derive(Debug)]
pub(super) struct LeaseInPath(pub(super) LeaseId);

impl<S: Send + Sync> FromRequestParts<S> for LeaseInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let InPath(text) = InPath::<String>::from_request_parts(parts, state).await?;
        text.parse().map(Self).map_err(|_| PoolError::NoSuchLease.into())
    }
}

/// The id of a group of failures in the path. What is no id names no group.
#[derive(Debug)]
pub(super) struct GroupInPath(pub(super) GroupId);

impl<S: Send + Sync> FromRequestParts<S> for GroupInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let InPath(text) = InPath::<String>::from_request_parts(parts, state).await?;
        text.parse().map(Self).map_err(|_| ReportError::NotFound.into())
    }
}

/// A checked field in the path.
#[derive(Debug)]
pub(super) struct InPath<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        use axum::extract::path::ErrorKind;
        use axum::extract::rejection::PathRejection;

        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => match error.kind() {
                ErrorKind::InvalidUtf8InPathParam { .. } => {
                    Err(Problem::new(Code::MalformedRequest, "the path is not percent-encoded UTF-8"))
                }
                _ => Err(Problem::new(Code::InvalidRequest, shortened(&error.body_text()))),
            },
            Err(other) => Err(Problem::internal(other.body_text())),
        }
    }
}

fn shortened(text: &str) -> String {
    let mut text = scrub::masked(text).into_owned();
    if let Some((end, _)) = text.char_indices().nth(DETAIL_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_utf8() {
        for good in ["", "room=lobby", "room=%C3%A9&x=1", "room=a+b", "room=%25"] {
            assert!(decodes_to_utf8(good), "{good}");
        }
        for bad in ["room=%FF", "room=%C3", "room=%", "room=%4", "room=%zz", "room=%ED%A0%80"] {
            assert!(!decodes_to_utf8(bad), "{bad}");
        }
    }

    #[test]
    fn json_has_one_content_type() {
        let of = |value: &str| is_json(&HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]));
        assert!(of("application/json") && of("Application/JSON; charset=utf-8"));
        assert!(!of("text/plain") && !of("application/jsonx") && !of("") && !is_json(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let chunked = |chunks: Vec<&'static [u8]>| {
            Body::from_stream(futures_util::stream::iter(
                chunks.into_iter().map(|chunk| Ok::<_, std::io::Error>(Bytes::from(chunk))),
            ))
        };
        assert_eq!(read(Body::from("12345"), 5).await.unwrap(), "12345");
        assert_eq!(read(chunked(vec![b"12", b"", b"34", b"5"]), 5).await.unwrap(), "12345");
        assert_eq!(read(Body::empty(), 5).await.unwrap(), "");
        assert_eq!(read(Body::from("123456"), 5).await.unwrap_err().code, Code::BodyTooLarge);
        assert_eq!(read(chunked(vec![b"12", b"34", b"56"]), 5).await.unwrap_err().code, Code::BodyTooLarge);
        let broken = Body::from_stream(futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]));
        assert_eq!(read(broken, 5).await.unwrap_err().code, Code::MalformedRequest);
    }

    #[test]
    fn an_explanation_is_short() {
        assert_eq!(shortened(&"é".repeat(400)).chars().count(), DETAIL_CHARS_MAX + 1);
        assert_eq!(shortened(&"é".repeat(300)).chars().count(), DETAIL_CHARS_MAX);
    }
}
