//! `POST /v1/keys`: makes an API key, whose text is in this answer and never in another.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::view::KeyView;
use crate::access::{NewKey, Scopes};
use crate::http::auth::By;
use crate::http::extract::JsonBody;
use crate::http::fields::{KeyLifeSeconds, KeyName, RateLimitPerSecond, ScopeName, TenantName};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::{Code, Problem};
use crate::http::shell::noted;
use crate::http::state::App;

/// What key is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = KeyRequest, example = json!({"name": "web shop", "scopes": ["dispatch"], "tenant": "acme"}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Request {
    name: KeyName,
    /// What it opens; one at least.
    #[schema(min_items = 1)]
    scopes: Vec<ScopeName>,
    /// Whose names alone it is to see. A key that is bound to a tenant makes keys of that tenant alone.
    tenant: Option<TenantName>,
    expires_in_seconds: Option<KeyLifeSeconds>,
    /// Its own limit, instead of that of the settings.
    rate_limit_per_second: Option<RateLimitPerSecond>,
}

/// The key, and its text, which is never shown again.
#[derive(Serialize, ToSchema)]
#[schema(as = NewApiKey)]
struct Answer<'a> {
    #[serde(flatten)]
    key: KeyView,
    secret: &'a str,
}

refusals!(StoreUnavailable);

/// Make an API key
///
/// Its text is in this answer and never in another. Takes no `Idempotency-Key`: the text is not kept.
#[utoipa::path(post, path = "/v1/keys", operation_id = "createKey", tag = "keys",
    request_body = Request,
    responses((status = 201, description = "The key, with its text.", body = Answer<'_>), Refusals))]
pub(in crate::http) async fn create(
    State(app): State<App>,
    By(caller): By,
    JsonBody(request): JsonBody<Request>,
) -> Result<Response, Problem> {
    let (key, text) = app.access.keys().create(&caller, request.try_into()?).await?;
    let answer = Answer { key: key.into(), secret: text.expose_secret() };
    Ok(noted((StatusCode::CREATED, Json(answer)).into_response()))
}

impl TryFrom<Request> for NewKey {
    type Error = Problem;

    fn try_from(request: Request) -> Result<Self, Problem> {
        let scopes: Vec<_> = request.scopes.into_iter().map(|scope| scope.0).collect();
        if scopes.is_empty() {
            return Err(Problem::new(Code::InvalidRequest, "scopes must name one at least"));
        }
        Ok(Self {
            name: request.name.0,
            scopes: Scopes::of(&scopes),
            tenant: request.tenant.map(|tenant| tenant.0),
            expires_in_seconds: request.expires_in_seconds.map(|life| life.0),
            rate_limit_per_second: request.rate_limit_per_second.map(|limit| limit.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::access::Scope;

    fn read(body: serde_json::Value) -> Option<NewKey> {
        serde_json::from_value::<Request>(body).ok()?.try_into().ok()
    }

    #[test]
    fn a_request_becomes_a_key_to_be_made() {
        let full = json!({"name": "web shop", "scopes": ["read", "dispatch", "read"], "tenant": "acme", "expires_in_seconds": 60});
        let new = read(full).unwrap();
        assert_eq!((new.name.as_str(), new.tenant.unwrap().as_str()), ("web shop", "acme"));
        assert_eq!((new.scopes, new.expires_in_seconds), (Scopes::of(&[Scope::Dispatch, Scope::Read]), Some(60)));
        let least = read(json!({"name": "a", "scopes": ["admin"]})).unwrap();
        assert!(least.tenant.is_none() && least.expires_in_seconds.is_none());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            json!({"scopes": ["read"]}),
            json!({"name": "a"}),
            json!({"name": "a", "scopes": []}),
            json!({"name": "a", "scopes": ["everything"]}),
            json!({"name": "", "scopes": ["read"]}),
            json!({"name": "a\nb", "scopes": ["read"]}),
            json!({"name": "a", "scopes": ["read"], "tenant": "a b"}),
            json!({"name": "a", "scopes": ["read"], "tenant": "t".repeat(65)}),
            json!({"name": "a", "scopes": ["read"], "expires_in_seconds": 0}),
            json!({"name": "a", "scopes": ["read"], "secret": "mine"}),
        ] {
            assert!(read(bad.clone()).is_none(), "{bad}");
        }
    }
}
