//! `POST /v1/agents/{agent}/undrain`: the agent takes new rooms again.

use axum::extract::State;
use axum::response::Response;

use super::view::{AgentView, change};
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::AgentName;
use crate::http::idempotency::RequestKey;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

refusals!(StoreUnavailable);

/// Take the drain of an agent back
///
/// It takes new rooms again, on every replica within a second. May be said again.
#[utoipa::path(post, path = "/v1/agents/{agent}/undrain", operation_id = "undrainAgent", tag = "agents",
    params(RequestKey, ("agent" = AgentName, Path, description = "The agent's name.")),
    responses((status = 200, description = "The agent as it is now.", body = AgentView), Refusals))]
pub(in crate::http) async fn undrain(
    State(app): State<App>,
    By(caller): By,
    InPath(AgentName(agent)): InPath<AgentName>,
    key: RequestKey,
) -> Result<Response, Problem> {
    change(&app, &caller, &agent, false, &key).await
}
