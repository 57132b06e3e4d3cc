//! Who calls: from what a request shows to a [`Caller`], and whether the route is open to them.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};

use super::peer;
use super::problem::{Code, Problem};
use super::state::AppState;
use crate::access::{AccessError, Caller, Quota, Scopes, TooFast};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Who has a key with one of these scopes.
    Key(Needs),
    /// The same, and a page with a LiveKit token for the room that it names.
    KeyOrPage(Needs),
    /// Anybody; the handler may check its callers itself.
    Open,
}

/// The scopes that a route takes, any one of them; `admin` opens every route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Needs {
    /// For `GET` and `HEAD`.
    pub(super) look: Scopes,
    /// For every other method.
    pub(super) change: Scopes,
}

impl Needs {
    /// The scopes for this method.
    pub(super) fn of(self, method: &Method) -> Scopes {
        if matches!(*method, Method::GET | Method::HEAD) { self.look } else { self.change }
    }
}

/// Who calls, for handlers of routes that are not open.
#[derive(Debug, Clone)]
pub(super) struct By(pub(super) Arc<Caller>);

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let known = parts.extensions.get::<Self>().cloned();
        known.ok_or_else(|| Problem::internal("the handler of an open route asks who calls"))
    }
}

/// Who calls, if the route is open to them and they may call now; nobody in particular where it is open to all.
/// Tells in `quota` what is left to the holder of a key, also where it is refused.
pub(super) async fn admit(
    app: &AppState,
    access: Access,
    request: &Parts,
    quota: &mut Option<Quota>,
) -> Result<Option<By>, Problem> {
    let (needs, takes_pages) = match access {
        Access::Open => return Ok(None),
        Access::Key(needs) => (needs, false),
        Access::KeyOrPage(needs) => (needs, true),
    };
    let caller = match known(app, takes_pages, request).await {
        Err(AccessError::Unauthorized) if !app.strangers.take(address(app, request)) => Err(AccessError::TooManyWrong),
        answer => answer,
    };
    let caller = caller.inspect_err(|error| {
        if matches!(error, AccessError::TooManyWrong) {
            app.metrics.rate_limited("address");
        }
    })?;
    let is_page = caller.page_room().is_some();
    let taken = app.limits.take(&caller).await;
    if !is_page {
        *quota = taken.unwrap_or_else(|TooFast(quota)| Some(quota));
    }
    taken.inspect_err(|_| app.metrics.rate_limited(if is_page { "page" } else { "key" }))?;
    if is_page || caller.may(needs.of(&request.method)) {
        return Ok(Some(By(caller)));
    }
    Err(Problem::new(Code::Forbidden, "the scopes of the key do not open this"))
}

/// Who shows a key, or where pages are taken a page's token.
async fn known(app: &AppState, takes_pages: bool, request: &Parts) -> Result<Arc<Caller>, AccessError> {
    let shown = bearer(&request.headers).ok_or(AccessError::Unauthorized)?;
    let are_welcome = || app.strangers.are_welcome(address(app, request));
    match app.access.admit(shown, are_welcome).await {
        Err(AccessError::Unauthorized) if takes_pages => page(app, shown).ok_or(AccessError::Unauthorized),
        answer => answer,
    }
}

fn address(app: &AppState, request: &Parts) -> IpAddr {
    peer::address(&request.headers, &request.extensions, app.settings.trusted_proxies)
}

/// The page that shows a LiveKit token of ours.
fn page(app: &AppState, token: &str) -> Option<Arc<Caller>> {
    let room = app.livekit.as_ref()?.page_room(token)?;
    Caller::page(&room).map(Arc::new)
}

/// The token of `Authorization: Bearer <token>`. Two such headers are none: it is not ours
/// to choose which one counts.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn only_one_bearer_counts() {
        assert_eq!(bearer(&headers(&["Bearer s3cret"])), Some("s3cret"));
        assert_eq!(bearer(&headers(&["bearer s3cret"])), Some("s3cret"));
        for none in [&["Basic s3cret"][..], &["s3cret"], &["Bearer "], &["Bearer"], &[], &["Bearer a", "Bearer b"]] {
            assert_eq!(bearer(&headers(none)), None, "{none:?}");
        }
    }
}
