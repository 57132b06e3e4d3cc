//! `POST /v1/agents/{agent}/drain`: no new dispatch of the agent is made, those that run go on.
//! `POST …/undrain` takes that back. Both may be said again; all replicas follow within a second.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::view::AgentView;
use crate::http::extract::InPath;
use crate::http::fields::AgentName;
use crate::http::idempotency::RequestKey;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;
use crate::name::Name;

pub(in crate::http) async fn drain(
    State(app): State<App>,
    InPath(AgentName(agent)): InPath<AgentName>,
    key: RequestKey,
) -> Result<Response, Problem> {
    change(&app, &agent, true, &key).await
}

pub(in crate::http) async fn undrain(
    State(app): State<App>,
    InPath(AgentName(agent)): InPath<AgentName>,
    key: RequestKey,
) -> Result<Response, Problem> {
    change(&app, &agent, false, &key).await
}

async fn change(app: &App, agent: &Name, drains: bool, key: &RequestKey) -> Result<Response, Problem> {
    let once = key.once("key", if drains { "drain" } else { "undrain" }, agent.as_str());
    let status = app.dispatches.drain_agent(&Name::default_tenant(), agent, drains, once.as_ref()).await?;
    Ok(noted(Json(AgentView::from(status)).into_response()))
}
