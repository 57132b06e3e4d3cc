//! `POST /api/v1/trigger`: a warm worker for a client's room, as older callers ask for it.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Caller;
use crate::dispatch::{Acquire, Place};
use crate::http::auth::By;
use crate::http::budget::Until;
use crate::http::dispatches::view::kept_answer;
use crate::http::fields::{AgentName, Metadata, RoomName, TenantName};
use crate::http::idempotency::{KeyedJson, RequestKey};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::{Code, Problem};
use crate::http::shell::noted;
use crate::http::state::{App, HttpSettings};
use crate::id::{DispatchId, LeaseId, WorkerId};
use crate::pool::{PoolError, PoolName};

/// Whose agent is to come into which room.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TriggerRequest, example = json!({"client": "default", "agent": "demo", "room": "lobby"}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Request {
    /// The tenant. A key that is bound to one names that one.
    client: TenantName,
    /// The agent, and the name of its pool.
    agent: AgentName,
    room: RoomName,
    /// Told to the worker alone.
    #[serde(default)]
    metadata: Metadata,
}

/// The worker that the room has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TriggerAnswer)]
#[serde(rename_all = "camelCase")]
struct Answer {
    success: bool,
    #[schema(value_type = DispatchId)]
    dispatch_id: String,
    /// Whether it was there before this call.
    reused: bool,
    /// The lease of the room's worker; left out while there is none.
    #[schema(value_type = LeaseId, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_id: Option<String>,
    #[schema(value_type = WorkerId, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_id: Option<String>,
    /// Where the room reaches its worker, as that says; left out where it says nothing.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
}

refusals!(
    AgentDraining,
    Forbidden,
    NoReadyWorker,
    ObserveOnly,
    PoolNotFound,
    TooManyDispatches,
    ProviderRejected,
    ProviderUnavailable,
    StoreUnavailable
);

/// Get a warm worker for a room
///
/// Makes sure that the room exists, and that a worker of the client's pool of that name serves it: the one that does
/// already, or a ready one. It is a dispatch like any other, whose agent is that worker. Failures are `{success: false,
/// message}`.
#[utoipa::path(post, path = "/api/v1/trigger", operation_id = "trigger", tag = "pools",
    params(RequestKey), request_body = Request,
    responses(
        (status = 200, description = "The room has its worker.", body = Answer),
        (status = 202, description = "Still under way after 20 s. It goes on by itself.", body = Answer),
        Refusals,
    ))]
pub(in crate::http) async fn trigger(
    State(app): State<App>,
    By(caller): By,
    Until(deadline): Until,
    KeyedJson(request, key): KeyedJson<Request>,
) -> Result<Response, Problem> {
    let acquire = request.into_acquire(&app.settings, &caller)?;
    // Before anything is begun: a name that was mistaken makes no room.
    let Place { tenant, agent, .. } = &acquire.place;
    app.pools.get(&PoolName { tenant: tenant.clone(), pool: agent.clone() }).await?;
    let acquire = acquire.once(|place| key.once(&caller, "trigger", place));
    let acquired = app.dispatches.acquire(acquire.until(deadline)).await?;
    let (status, dispatch, reused) = kept_answer(&acquired);
    let lease = match dispatch.provider_id.as_deref().and_then(|id| id.parse().ok()) {
        None => None,
        Some(id) => match app.pools.lease_of(&dispatch.place.tenant, id).await {
            Ok(lease) => Some(lease),
            // It ended just now; the room's next look says so.
            Err(PoolError::NoSuchLease) => None,
            Err(error) => return Err(error.into()),
        },
    };
    let answer = Answer {
        success: true,
        dispatch_id: dispatch.id.to_string(),
        reused,
        lease_id: lease.as_ref().map(|lease| lease.id.to_string()),
        worker_id: lease.as_ref().and_then(|lease| lease.worker).map(|worker| worker.to_string()),
        endpoint: lease.and_then(|lease| lease.endpoint),
    };
    let response = (status, Json(answer)).into_response();
    Ok(if reused { response } else { noted(response) })
}

impl Request {
    fn into_acquire(self, settings: &HttpSettings, caller: &Caller) -> Result<Acquire, Problem> {
        if caller.is_bound() && *caller.tenant() != self.client.0 {
            return Err(Problem::new(Code::Forbidden, "the key is for another client"));
        }
        Ok(Acquire {
            place: Place { tenant: self.client.0, room: self.room.0, agent: self.agent.0 },
            metadata: self.metadata.0,
            ttl_seconds: None,
            by_pool: true,
            patience: settings.creation_budget,
            once: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::access::CallerId;
    use crate::name::Name;

    fn asked(client: &str, caller: &Caller) -> Result<Acquire, Code> {
        let body = json!({"client": client, "agent": "tutor", "room": "lobby", "metadata": "m"});
        let request: Request = serde_json::from_value(body).unwrap();
        let settings = HttpSettings::new(Name::strict("concierge").unwrap());
        request.into_acquire(&settings, caller).map_err(|problem| problem.code)
    }

    #[test]
    fn a_bound_key_names_its_own_client_and_others_any() {
        let (root, page) = (Caller::root(CallerId::Settings), Caller::page("acme::lobby").unwrap());
        for (caller, client) in [(&root, "acme"), (&root, "default"), (&page, "acme")] {
            let acquire = asked(client, caller).unwrap();
            assert_eq!((acquire.place.tenant.as_str(), acquire.by_pool), (client, true));
        }
        assert_eq!(asked("other", &page).unwrap_err(), Code::Forbidden);
    }
}
