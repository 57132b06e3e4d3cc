//! `POST /v1/locks/{name}/acquire`: the lock, now or as soon as it is free.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::LockView;
use crate::http::auth::By;
use crate::http::budget::Until;
use crate::http::extract::{InPath, JsonBody};
use crate::http::fields::{LeaseSeconds, LockName, LockOwner, WaitSeconds};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

/// Who wants it, and for how long.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = LockRequest, example = json!({"owner": "worker-7", "ttl_seconds": 30, "wait_seconds": 10}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Request {
    owner: LockOwner,
    ttl_seconds: LeaseSeconds,
    /// Without it the answer comes at once.
    #[serde(default)]
    wait_seconds: WaitSeconds,
}

refusals!(LockHeld, StoreUnavailable);

/// Take a lock
///
/// Safe to repeat: who has it already keeps its token, and the lease runs anew. After a 503 whether it is held is
/// unknown, so ask again with the same owner.
#[utoipa::path(post, path = "/v1/locks/{name}/acquire", operation_id = "acquireLock", tag = "locks",
    params(("name" = LockName, Path, description = "The lock's name. It need not exist.")), request_body = Request,
    responses((status = 200, description = "It is the owner's.", body = LockView), Refusals))]
pub(in crate::http) async fn acquire(
    State(app): State<App>,
    By(caller): By,
    Until(deadline): Until,
    InPath(LockName(name)): InPath<LockName>,
    JsonBody(request): JsonBody<Request>,
) -> Result<Response, Problem> {
    let Request { owner: LockOwner(owner), ttl_seconds: LeaseSeconds(lease), wait_seconds: WaitSeconds(wait) } =
        request;
    let (lease, wait) = (Duration::from_secs(lease.into()), deadline.within(Duration::from_secs(wait.into())));
    let held = app.locks.acquire(caller.tenant(), &name, owner.as_str(), lease, wait).await?;
    Ok(noted(Json(LockView::from(held)).into_response()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wait_is_optional_and_bounded() {
        let read = |body| serde_json::from_value::<Request>(body);
        assert_eq!(read(json!({"owner": "a", "ttl_seconds": 5})).unwrap().wait_seconds.0, 0);
        assert_eq!(read(json!({"owner": "a", "ttl_seconds": 5, "wait_seconds": 30})).unwrap().wait_seconds.0, 30);
        for bad in [
            json!({"owner": "a"}),
            json!({"ttl_seconds": 5}),
            json!({"owner": "", "ttl_seconds": 5}),
            json!({"owner": "a", "ttl_seconds": 3601}),
            json!({"owner": "a", "ttl_seconds": 5, "wait_seconds": 31}),
            json!({"owner": "a", "ttl_seconds": 5, "wait": 3}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
