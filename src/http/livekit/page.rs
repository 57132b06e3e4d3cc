//! Which place a call of the browser contract means. A page names its own room, as its LiveKit token has it,
//! and the agents that pages may ask for; who has a key names any room and agent of its tenant.

use crate::access::Caller;
use crate::dispatch::Place;
use crate::http::fields::{AgentName, PageRoomName};
use crate::http::problem::{Code, Problem};
use crate::http::state::HttpSettings;
use crate::name::Name;

pub(super) fn place(
    caller: &Caller,
    settings: &HttpSettings,
    room: PageRoomName,
    agent: Option<AgentName>,
) -> Result<Place, Problem> {
    let agent = agent.map_or_else(|| settings.default_agent.clone(), |agent| agent.0);
    let room = match caller.page_room() {
        None => {
            Name::room(room.0).map_err(|error| Problem::new(Code::InvalidRequest, format!("a room's name {error}")))?
        }
        Some(own) if own.provider_room != room.0 => {
            return Err(Problem::new(Code::Forbidden, "the token is for another room"));
        }
        Some(_) if agent != settings.default_agent && !settings.page_agents.contains(&agent) => {
            return Err(Problem::new(Code::Forbidden, "pages may not ask for this agent"));
        }
        Some(own) => own.room.clone(),
    };
    Ok(Place { tenant: caller.tenant().clone(), room, agent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::CallerId;

    fn settings() -> HttpSettings {
        let agent = |name| Name::strict(name).unwrap();
        HttpSettings { page_agents: vec![agent("tutor")], ..HttpSettings::new(agent("concierge")) }
    }

    fn asked(caller: &Caller, room: &str, agent: Option<&str>) -> Result<Place, Code> {
        let agent = agent.map(|agent| AgentName(Name::strict(agent).unwrap()));
        place(caller, &settings(), PageRoomName(room.to_owned()), agent).map_err(|problem| problem.code)
    }

    #[test]
    fn a_page_names_its_own_room_as_its_token_has_it() {
        let page = Caller::page("acme::lobby").unwrap();
        let place = asked(&page, "acme::lobby", None).unwrap();
        assert_eq!((place.tenant.as_str(), place.room.as_str(), place.agent.as_str()), ("acme", "lobby", "concierge"));
        for other in ["lobby", "acme::lobby2", "ACME::lobby", "other::lobby"] {
            assert_eq!(asked(&page, other, None), Err(Code::Forbidden), "{other}");
        }
        let long = format!("{}::{}", "t".repeat(64), "é".repeat(128));
        assert_eq!(asked(&Caller::page(&long).unwrap(), &long, None).unwrap().room.as_str(), "é".repeat(128));
    }

    #[test]
    fn a_page_asks_for_the_agents_of_pages_only() {
        let page = Caller::page("lobby").unwrap();
        assert_eq!(asked(&page, "lobby", Some("tutor")).unwrap().agent.as_str(), "tutor");
        assert_eq!(asked(&page, "lobby", Some("concierge")).unwrap().agent.as_str(), "concierge");
        assert_eq!(asked(&page, "lobby", Some("surgeon")), Err(Code::Forbidden));
    }

    #[test]
    fn a_key_names_any_room_and_agent() {
        let root = Caller::root(CallerId::Settings);
        assert_eq!(asked(&root, "a b", Some("surgeon")).unwrap().agent.as_str(), "surgeon");
        assert_eq!(asked(&root, &"a".repeat(129), None), Err(Code::InvalidRequest));
    }
}
