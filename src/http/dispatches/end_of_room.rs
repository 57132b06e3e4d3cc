//! `DELETE /v1/dispatches?room=[&agent=]`: ends all dispatches of a room, or the one of an agent.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::view::DispatchesView;
use crate::dispatch::{DispatchError, Place, Which};
use crate::http::auth::By;
use crate::http::extract::Query;
use crate::http::fields::{AgentName, RoomName};
use crate::http::problem::Problem;
use crate::http::shell::noted;
use crate::http::state::App;

/// Which ones. The room is required: nothing ends every dispatch at once by mistake.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Filter {
    room: RoomName,
    agent: Option<AgentName>,
}

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
