//! Every route, each with who may call it, how long it may take and how it tells failures.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_axum::routes;

use super::auth::Access::{self, Key, KeyOrPage, Open};
use super::auth::Needs;
use super::problem::Form::{self, Kept, Problem};
use super::shell::Patience::{self, LongPoll, Prompt, Waits};
use super::shell::{Endpoint, Spec, shell};
use super::state::App;
use super::{
    agents, alerts, breakers, cors, dispatches, errors, keys, leases, livekit, locks, operation, policies, pools,
    rooms, runners, sessions, shell, workers,
};
use crate::access::{Scope, Scopes};

/// All routes of a replica.
pub fn router(app: App) -> Router {
    let cors = cors::layer(&app.settings.cors_origins);
    let mut router = Router::new();
    for Route { template, access, patience, form, methods: (_, _, methods) } in table() {
        let endpoint = Endpoint { app: app.clone(), spec: Spec { template, access, patience, form } };
        let methods = methods.fallback(shell::method_not_allowed);
        let methods = methods.layer(from_fn_with_state(endpoint, shell));
        // Outermost: a preflight shows no key, and a page may read its refusals.
        let methods = match &cors {
            Some(cors) if cors::covers(template) => methods.layer(cors.clone()),
            _ => methods,
        };
        router = router.route(template, methods);
    }
    let unknown = Spec { template: "unknown", access: Open, patience: Prompt, form: Problem };
    let unknown = from_fn_with_state(Endpoint { app: app.clone(), spec: unknown }, shell);
    router
        .fallback_service(MethodRouter::new().fallback(shell::route_not_found).layer(unknown).with_state(app.clone()))
        .with_state(app)
}

/// Who may call a route.
#[derive(Debug, Clone, Copy)]
pub struct RouteAccess {
    /// The route, as in `/v1/dispatches/{id}`.
    pub template: &'static str,
    /// The scopes for `GET` and `HEAD`, and those for every other method, of which one is enough; none where the
    /// route is open, or checks its callers itself.
    pub scopes: Option<(Scopes, Scopes)>,
    /// Whether a page with a LiveKit token for its room may call it, too.
    pub is_for_pages: bool,
}

/// Who may call which route.
pub fn route_access() -> Vec<RouteAccess> {
    let told = |Route { template, access, .. }: Route| match access {
        Open => RouteAccess { template, scopes: None, is_for_pages: false },
        Key(needs) => RouteAccess { template, scopes: Some((needs.look, needs.change)), is_for_pages: false },
        KeyOrPage(needs) => RouteAccess { template, scopes: Some((needs.look, needs.change)), is_for_pages: true },
    };
    table().into_iter().map(told).collect()
}

/// A route with its handlers, and what these say of themselves for the document.
pub(super) struct Route {
    pub(super) template: &'static str,
    pub(super) access: Access,
    pub(super) patience: Patience,
    pub(super) form: Form,
    pub(super) methods: UtoipaMethodRouter<App>,
}

/// Dispatches: who may read looks, who may dispatch does both.
const DISPATCH: Needs =
    Needs { look: Scopes::of(&[Scope::Read, Scope::Dispatch]), change: Scopes::of(&[Scope::Dispatch]) };
/// Locks are for whoever changes something.
const LOCK: Needs = Needs {
    look: Scopes::of(&[Scope::Read, Scope::Dispatch, Scope::Pool, Scope::Worker, Scope::Task]),
    change: Scopes::of(&[Scope::Dispatch, Scope::Pool, Scope::Worker, Scope::Task]),
};
/// Every good key will do.
const ANY: Needs = Needs { look: Scopes::of(&Scope::ALL), change: Scopes::of(&[]) };
/// Failures: whoever works with greenroom may tell of them; who may read sees them.
const ERRORS: Needs = Needs {
    look: Scopes::of(&[Scope::Read]),
    change: Scopes::of(&[Scope::Dispatch, Scope::Pool, Scope::Worker, Scope::Task]),
};
/// What only those who run it change: groups of failures, and alerts.
const OPERATION: Needs = Needs { look: Scopes::of(&[Scope::Read]), change: Scopes::of(&[Scope::Admin]) };
/// Breakers: looked at by all who may look at something, and by those who call through them.
const BREAKERS: Needs = Needs {
    look: Scopes::of(&[Scope::Read, Scope::Worker, Scope::Task]),
    change: Scopes::of(&[Scope::Worker, Scope::Task]),
};
/// Pools and their workers.
const POOLS: Needs = Needs { look: Scopes::of(&[Scope::Read, Scope::Pool]), change: Scopes::of(&[Scope::Pool]) };
/// Leases: a worker may give back the one that it serves.
const LEASES: Needs =
    Needs { look: Scopes::of(&[Scope::Read, Scope::Pool]), change: Scopes::of(&[Scope::Pool, Scope::Worker]) };
/// What a runner hears may hold secrets of sessions: for runners alone.
const RUNNERS: Needs = Needs { look: Scopes::of(&[Scope::Worker]), change: Scopes::of(&[Scope::Worker]) };
/// To hold a breaker in a state is for administrators.
const BREAKER_STATES: Needs = Needs { look: Scopes::of(&[Scope::Admin]), change: Scopes::of(&[Scope::Admin]) };
/// Keys are for administrators, also to look at.
const KEYS: Needs = Needs { look: Scopes::of(&[Scope::Admin]), change: Scopes::of(&[Scope::Admin]) };

/// `Open` routes check their callers themselves, or serve anybody; `Waits` routes may wait for the provider, `LongPoll`
/// ones for as long as the caller asks to.
#[rustfmt::skip]
pub(super) fn table() -> Vec<Route> {
    use dispatches::{activity, alive, create, end, end_of_room, get, list, ttl};
    use livekit::{agent_status, dispatch_agent, webhook};
    use locks::{acquire, release, renew};
    use operation::{docs, healthz, metrics, openapi, readyz};
    use rooms::{connect, explain};
    vec![
        route("/v1/dispatches", Key(DISPATCH), Waits, Problem, routes!(create::create, list::list, end_of_room::end_of_room)),
        route("/v1/dispatches/{id}", Key(DISPATCH), Waits, Problem, routes!(get::get, end::end)),
        route("/v1/dispatches/{id}/activity", Key(DISPATCH), Prompt, Problem, routes!(activity::activity)),
        route("/v1/dispatches/{id}/alive", Open, Prompt, Problem, routes!(alive::alive)),
        route("/v1/dispatches/{id}/ttl", Key(DISPATCH), Prompt, Problem, routes!(ttl::ttl)),
        route("/v1/connect", Key(DISPATCH), Waits, Problem, routes!(connect::connect)),
        route("/v1/agents/{agent}", Key(DISPATCH), Prompt, Problem, routes!(agents::get::get)),
        route("/v1/agents/{agent}/drain", Key(DISPATCH), Prompt, Problem, routes!(agents::drain::drain)),
        route("/v1/agents/{agent}/undrain", Key(DISPATCH), Prompt, Problem, routes!(agents::undrain::undrain)),
        route("/v1/rooms/{room}/explain", Key(DISPATCH), Prompt, Problem, routes!(explain::explain)),

        route("/v1/locks/{name}", Key(LOCK), Prompt, Problem, routes!(locks::get::get)),
        route("/v1/locks/{name}/acquire", Key(LOCK), LongPoll, Problem, routes!(acquire::acquire)),
        route("/v1/locks/{name}/renew", Key(LOCK), Prompt, Problem, routes!(renew::renew)),
        route("/v1/locks/{name}/release", Key(LOCK), Prompt, Problem, routes!(release::release)),

        route("/v1/pools", Key(POOLS), Prompt, Problem, routes!(pools::list::list)),
        route("/v1/pools/{pool}", Key(POOLS), Prompt, Problem, routes!(pools::define::define, pools::get::get, pools::delete::delete)),
        route("/v1/pools/{pool}/plan", Key(POOLS), Prompt, Problem, routes!(pools::plan::plan)),
        route("/v1/pools/{pool}/stats", Key(POOLS), Prompt, Problem, routes!(pools::stats::stats)),
        route("/v1/pools/{pool}/leases", Key(LEASES), LongPoll, Problem, routes!(leases::create::create)),
        route("/v1/pools/{pool}/workers", Key(POOLS), Prompt, Problem, routes!(workers::list::list)),
        route("/api/v1/trigger", Key(DISPATCH), Waits, Kept, routes!(pools::trigger::trigger)),
        route("/v1/pools/{pool}/sessions", Key(POOLS), Prompt, Problem, routes!(sessions::list::list)),
        route("/v1/pools/{pool}/sessions/{name}", Key(POOLS), Prompt, Problem, routes!(sessions::get::get, sessions::end::end)),
        route("/v1/leases/{id}", Key(LEASES), Prompt, Problem, routes!(leases::get::get)),
        route("/v1/leases/{id}/renew", Key(LEASES), Prompt, Problem, routes!(leases::renew::renew)),
        route("/v1/leases/{id}/release", Key(LEASES), Prompt, Problem, routes!(leases::release::release)),
        route("/v1/workers/{id}", Key(POOLS), Prompt, Problem, routes!(workers::get::get)),
        route("/v1/workers/{id}/cordon", Key(POOLS), Prompt, Problem, routes!(workers::mark::cordon)),
        route("/v1/workers/{id}/uncordon", Key(POOLS), Prompt, Problem, routes!(workers::mark::uncordon)),
        route("/v1/workers/{id}/drain", Key(POOLS), Prompt, Problem, routes!(workers::mark::drain)),
        route("/v1/workers/{id}/recycle", Key(POOLS), Prompt, Problem, routes!(workers::mark::recycle)),
        route("/v1/runners/{runner}/sync", Key(RUNNERS), LongPoll, Problem, routes!(runners::sync::sync)),

        route("/v1/policies", Key(ANY), Prompt, Problem, routes!(policies::policies)),

        route("/v1/errors", Key(ERRORS), Prompt, Problem, routes!(errors::report::report, errors::list::list)),
        route("/v1/errors/rules", Key(ERRORS), Prompt, Problem, routes!(errors::rules::rules)),
        route("/v1/errors/{id}", Key(OPERATION), Prompt, Problem, routes!(errors::get::get, errors::resolve::resolve)),
        route("/v1/alerts", Key(OPERATION), Prompt, Problem, routes!(alerts::list::list)),
        route("/v1/alerts/{rule}", Key(OPERATION), Prompt, Problem, routes!(alerts::get::get)),
        route("/v1/alerts/{rule}/snooze", Key(OPERATION), Prompt, Problem, routes!(alerts::snooze::snooze, alerts::wake::wake)),

        route("/v1/breakers", Key(BREAKERS), Prompt, Problem, routes!(breakers::list::list)),
        route("/v1/breakers/{breaker}", Key(BREAKERS), Prompt, Problem, routes!(breakers::get::get)),
        route("/v1/breakers/{breaker}/permit", Key(BREAKERS), Prompt, Problem, routes!(breakers::permit::permit)),
        route("/v1/breakers/{breaker}/report", Key(BREAKERS), Prompt, Problem, routes!(breakers::report::report)),
        route("/v1/breakers/{breaker}/force", Key(BREAKER_STATES), Prompt, Problem, routes!(breakers::force::force)),
        route("/v1/breakers/{breaker}/reset", Key(BREAKER_STATES), Prompt, Problem, routes!(breakers::reset::reset)),

        route("/v1/keys", Key(KEYS), Prompt, Problem, routes!(keys::create::create, keys::list::list)),
        route("/v1/keys/{id}", Key(KEYS), Prompt, Problem, routes!(keys::get::get, keys::revoke::revoke)),

        route("/api/livekit/dispatch-agent", KeyOrPage(DISPATCH), Waits, Kept, routes!(dispatch_agent::dispatch_agent)),
        route("/api/livekit/agent-status", KeyOrPage(DISPATCH), Prompt, Kept, routes!(agent_status::agent_status)),
        route("/api/livekit/webhook", Open, Prompt, Problem, routes!(webhook::webhook)),

        route("/api/v1/containers/pool/stats", Key(POOLS), Prompt, Kept, routes!(pools::all_stats::all_stats)),

        route("/healthz", Open, Prompt, Problem, routes!(healthz::healthz)),
        route("/readyz", Open, Prompt, Problem, routes!(readyz::readyz)),
        route("/metrics", Open, Prompt, Problem, routes!(metrics::metrics)),
        route("/openapi.json", Open, Prompt, Problem, routes!(openapi::openapi)),
        route("/docs", Open, Prompt, Problem, routes!(docs::docs)),
    ]
}

fn route(
    template: &'static str,
    access: Access,
    patience: Patience,
    form: Form,
    methods: UtoipaMethodRouter<App>,
) -> Route {
    Route { template, access, patience, form, methods }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_handler_is_on_the_path_that_it_tells() {
        for route in table() {
            let (_, paths, _) = route.methods;
            assert_eq!(paths.paths.keys().collect::<Vec<_>>(), [route.template]);
        }
    }
}
