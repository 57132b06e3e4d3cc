//! `POST /v1/agents/{agent}/drain`: no new dispatch of the agent is made, those that run go on.
//! `POST …/undrain` takes that back. Both may be said again; all replicas follow within a second.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::view::AgentView;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::AgentName;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;
use crate::name::Name;

pub(in crate::http) async fn drain(
    State(app): State<App>,
    By(caller): By,
    InPath(AgentName(agent)): InPath<AgentName>,
) -> Result<Response, Problem> {
    change(&app, caller.tenant(), &agent, true).await
}

pub(in crate::http) async fn undrain(
    State(app): State<App>,
    By(caller): By,
    InPath(AgentName(agent)): InPath<AgentName>,
) -> Result<Response, Problem> {
    change(&app, caller.tenant(), &agent, false).await
}

async fn change(app: &App, tenant: &Name, agent: &Name, drains: bool) -> Result<Response, Problem> {
    let status = app.dispatches.drain_agent(tenant, agent, drains).await?;
    Ok(noted(Json(AgentView::from(status)).into_response()))
}
