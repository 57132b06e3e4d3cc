//! `DELETE /v1/dispatches?room=[&agent=]`: ends all dispatches of a room, or the one of an agent.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::view::DispatchesView;
use crate::dispatch::{DispatchError, Place, Which};
use crate::http::auth::By;
use crate::http::extract::Query;
use crate::http::fields::{AgentName, RoomName};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

/// Which ones. The room is required: nothing ends every dispatch at once by mistake.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Filter {
    /// The room whose dispatches end.
    room: RoomName,
    /// Only the dispatch of this agent.
    agent: Option<AgentName>,
}

refusals!(ObserveOnly, DispatchNotFound, ProviderRejected, ProviderUnavailable, StoreUnavailable);

/// End the dispatches of a room
///
/// All of the room, or the one of an agent. Answered when they are deleted at the provider.
#[utoipa::path(delete, path = "/v1/dispatches", operation_id = "endDispatchesOfRoom", tag = "dispatches",
    params(Filter),
    responses((status = 200, description = "The dispatches as they were while they ended.", body = DispatchesView), Refusals))]
pub(in crate::http) async fn end_of_room(
    State(app): State<App>,
    By(caller): By,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant();
    let room = filter.room.0;
    let ended = match filter.agent {
        None => app.dispatches.end_room(tenant, &room).await?,
        Some(AgentName(agent)) => {
            let place = Place { tenant: tenant.clone(), room, agent };
            vec![app.dispatches.end(tenant, Which::Place(place)).await?]
        }
    };
    if ended.is_empty() {
        return Err(DispatchError::NotFound.into());
    }
    Ok(noted(Json(DispatchesView::from(ended)).into_response()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_required() {
        let read =
            |query: &str| axum::extract::Query::<Filter>::try_from_uri(&query.parse().unwrap()).map(|query| query.0);
        assert!(read("/?room=lobby").unwrap().agent.is_none());
        assert_eq!(read("/?room=lobby&agent=voice").unwrap().agent.unwrap().0.as_str(), "voice");
        for bad in ["/", "/?agent=voice", "/?room=", "/?room=a&room=b", "/?room=a&state=idle"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
