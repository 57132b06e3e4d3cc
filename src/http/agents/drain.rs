//! `POST /v1/agents/{agent}/drain`: no new dispatch of the agent is made, those that run go on.
//! `POST …/undrain` takes that back. Both may be said again; all replicas follow within a second.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::view::AgentView;
use crate::access::Caller;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::AgentName;
use crate::http::idempotency::RequestKey;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;
use crate::name::Name;

pub(in crate::http) async fn drain(
    State(app): State<App>,
    By(caller): By,
    InPath(AgentName(agent)): InPath<AgentName>,
    key: RequestKey,
) -> Result<Response, Problem> {
    change(&app, &caller, &agent, true, &key).await
}

pub(in crate::http) async fn undrain(
    State(app): State<App>,
    By(caller): By,
    InPath(AgentName(agent)): InPath<AgentName>,
    key: RequestKey,
) -> Result<Response, Problem> {
    change(&app, &caller, &agent, false, &key).await
}

async fn change(app: &App, caller: &Caller, agent: &Name, drains: bool, key: &RequestKey) -> Result<Response, Problem> {
    let once = key.once(caller, if drains { "drain" } else { "undrain" }, agent.as_str());
    let status = app.dispatches.drain_agent(caller.tenant(), agent, drains, once.as_ref()).await?;
    Ok(noted(Json(AgentView::from(status)).into_response()))
}
