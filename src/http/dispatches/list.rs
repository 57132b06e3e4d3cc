//! `GET /v1/dispatches`: a page of the dispatches, filtered by room, agent and state.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::view::DispatchView;
use crate::dispatch::{ListFilter, Page};
use crate::http::auth::By;
use crate::http::extract::Query;
use crate::http::fields::{AgentName, RoomName, StateName};
use crate::http::openapi::refusals::refusals;
use crate::http::problem::{Code, Problem};
use crate::http::state::App;

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1_000;

/// Which ones.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Filter {
    /// Only those of this room.
    room: Option<RoomName>,
    /// Only those of this agent.
    agent: Option<AgentName>,
    /// Only those in this state.
    state: Option<StateName>,
    /// `next_cursor` of the page before, unchanged; without it the list begins.
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
    /// The most dispatches of a page.
    #[param(minimum = 1, maximum = 1_000, default = 100)]
    limit: Option<u32>,
}

/// A page; it may be short, and still have a next one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DispatchPage)]
pub(in crate::http) struct Answer {
    dispatches: Vec<DispatchView>,
    /// Where the next page starts; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

refusals!(BadCursor, StoreUnavailable);

/// A page of dispatches
///
/// By shard, then by name. Filters are applied to a page after it is read: it may be short or empty and still have
/// a next one.
#[utoipa::path(get, path = "/v1/dispatches", operation_id = "listDispatches", tag = "dispatches",
    params(Filter),
    responses((status = 200, description = "A page.", body = Answer), Refusals))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    By(caller): By,
    Query(filter): Query<Filter>,
) -> Result<Json<Answer>, Problem> {
    let page = app.dispatches.list(caller.tenant(), filter.try_into()?).await?;
    Ok(Json(page.into()))
}

impl TryFrom<Filter> for ListFilter {
    type Error = Problem;

    fn try_from(filter: Filter) -> Result<Self, Problem> {
        let limit = filter.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::new(Code::InvalidRequest, "limit must be 1 to 1000"));
        }
        Ok(Self {
            room: filter.room.map(|room| room.0),
            agent: filter.agent.map(|agent| agent.0),
            state: filter.state.map(|state| state.0),
            cursor: filter.cursor,
            limit,
        })
    }
}

impl From<Page> for Answer {
    fn from(page: Page) -> Self {
        let dispatches = page.dispatches.into_iter().map(DispatchView::from).collect();
        Self { dispatches, next_cursor: page.next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::State;

    fn read(query: &str) -> Option<ListFilter> {
        let filter = axum::extract::Query::<Filter>::try_from_uri(&format!("/?{query}").parse().unwrap()).ok()?;
        filter.0.try_into().ok()
    }

    #[test]
    fn every_filter_reaches_the_domain() {
        let filter = read("room=a%20b&agent=voice&state=idle&cursor=c1&limit=1000").unwrap();
        assert_eq!((filter.room.unwrap().as_str(), filter.agent.unwrap().as_str()), ("a b", "voice"));
        assert_eq!((filter.state, filter.cursor.as_deref(), filter.limit), (Some(State::Idle), Some("c1"), 1_000));
        let all = read("").unwrap();
        assert!(all.room.is_none() && all.agent.is_none() && all.state.is_none() && all.cursor.is_none());
        assert_eq!(all.limit, LIMIT_DEFAULT);
    }

    #[test]
    fn bad_filters_are_refused() {
        for bad in
            ["limit=0", "limit=1001", "limit=-1", "limit=x", "state=alive", "room=", "colour=red", "limit=1&limit=2"]
        {
            assert!(read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_page_shows_where_the_next_one_starts() {
        let dispatches = vec![super::super::view::tests::sample()];
        let page = serde_json::to_value(Answer::from(Page { dispatches, next_cursor: Some("c2".into()) })).unwrap();
        assert_eq!((page["dispatches"].as_array().unwrap().len(), &page["next_cursor"]), (1, &"c2".into()));
        let last = serde_json::to_value(Answer::from(Page { dispatches: vec![], next_cursor: None })).unwrap();
        assert_eq!(last, serde_json::json!({"dispatches": [], "next_cursor": null}));
    }
}
