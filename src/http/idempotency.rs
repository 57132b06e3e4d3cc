//! The `Idempotency-Key` of a request: repeated with the same key, it is done once and answered alike for a day.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::extract::{RawBody, parse_json};
use super::problem::{Code, Problem};
use super::state::App;
use crate::access::Caller;
use crate::idempotency::Once;

/// The header's name.
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The longest key.
const KEY_CHARS_MAX: usize = 255;

/// The key of a request, if it has one, with what the request asks.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestKey(Option<(String, Vec<u8>)>);

impl RequestKey {
    /// What the store is to do once. `thing` is what the request concerns.
    pub(super) fn once(&self, caller: &Caller, route: &str, thing: &str) -> Option<Once> {
        self.0.as_ref().map(|(key, body)| Once::new(&caller.id().to_string(), route, thing, key, body))
    }

    fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let is_good =
            |key: &&str| (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        let key = value.to_str().ok().filter(is_good);
        match (key, values.next()) {
            (Some(key), None) => Ok(Self(Some((key.to_owned(), body.to_vec())))),
            _ => Err(Problem::new(
                Code::MalformedRequest,
                "`Idempotency-Key` must be one header of 1 to 255 visible ASCII characters",
            )),
        }
    }
}

/// For the API's document.
impl IntoParams for RequestKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(KEY_CHARS_MAX));
        let text = text.pattern(Some("^[!-~]{1,255}$")).examples(["8e03978e-40d5-43dd"]);
        let parameter = ParameterBuilder::new()
            .name(IDEMPOTENCY_KEY)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "Repeated with the same key and body within a day, the request is done once and answered alike.",
            ))
            .schema(Some(text))
            .build();
        vec![parameter]
    }
}

/// A request without a body.
impl<S: Sync> FromRequestParts<S> for RequestKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(&parts.headers, &[])
    }
}

/// A JSON body, with the key that came with it.
#[derive(Debug)]
pub(super) struct KeyedJson<T>(pub(super) T, pub(super) RequestKey);

impl<T: DeserializeOwned> FromRequest<App> for KeyedJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let body = RawBody::of_json(request, app).await?;
        let key = RequestKey::read(&headers, &body)?;
        Ok(Self(parse_json(&body)?, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_header_of_bounded_length() {
        let read = |values: &[&str]| {
            let headers = values.iter().map(|value| ("idempotency-key".parse().unwrap(), value.parse().unwrap()));
            RequestKey::read(&headers.collect::<HeaderMap>(), b"")
        };
        let caller = Caller::root(crate::access::CallerId::Settings);
        assert!(read(&[]).unwrap().once(&caller, "r", "t").is_none());
        assert!(read(&["8e03978e-40d5-43dd"]).unwrap().once(&caller, "r", "t").is_some());
        assert!(read(&[&"k".repeat(255)]).is_ok());
        for bad in [vec![""], vec!["a b"], vec!["a\tb"], vec!["a", "a"], vec!["a", "b"]] {
            assert_eq!(read(&bad).unwrap_err().code, Code::MalformedRequest, "{bad:?}");
        }
        assert!(read(&[&"k".repeat(256)]).is_err());
    }
}
