//! Every route, each with who may call it, how long it may take and how it tells failures.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_axum::routes;

use super::problem::Form::{self, Kept, Problem};
use super::shell::Access::{self, Key, Open};
use super::shell::Patience::{self, Prompt, Waits};
use super::shell::{Endpoint, Spec, shell};
use super::state::App;
use super::{agents, cors, dispatches, livekit, operation, rooms, shell};

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

/// A route with its handlers, and what these say of themselves for the document.
pub(super) struct Route {
    pub(super) template: &'static str,
    pub(super) access: Access,
    pub(super) patience: Patience,
    pub(super) form: Form,
    pub(super) methods: UtoipaMethodRouter<App>,
}

/// `Open` routes check their callers themselves, or serve anybody; `Waits` routes may wait for the provider.
#[rustfmt::skip]
pub(super) fn table() -> Vec<Route> {
    use dispatches::{activity, alive, create, end, end_of_room, get, list, ttl};
    use livekit::{agent_status, dispatch_agent, webhook};
    use operation::{docs, healthz, metrics, openapi, readyz};
    use rooms::{connect, explain};
    vec![
        route("/v1/dispatches", Key, Waits, Problem, routes!(create::create, list::list, end_of_room::end_of_room)),
        route("/v1/dispatches/{id}", Key, Waits, Problem, routes!(get::get, end::end)),
        route("/v1/dispatches/{id}/activity", Key, Prompt, Problem, routes!(activity::activity)),
        route("/v1/dispatches/{id}/alive", Open, Prompt, Problem, routes!(alive::alive)),
        route("/v1/dispatches/{id}/ttl", Key, Prompt, Problem, routes!(ttl::ttl)),
        route("/v1/connect", Key, Waits, Problem, routes!(connect::connect)),
        route("/v1/agents/{agent}", Key, Prompt, Problem, routes!(agents::get::get)),
        route("/v1/agents/{agent}/drain", Key, Prompt, Problem, routes!(agents::drain::drain)),
        route("/v1/agents/{agent}/undrain", Key, Prompt, Problem, routes!(agents::undrain::undrain)),
        route("/v1/rooms/{room}/explain", Key, Prompt, Problem, routes!(explain::explain)),

        route("/api/livekit/dispatch-agent", Key, Waits, Kept, routes!(dispatch_agent::dispatch_agent)),
        route("/api/livekit/agent-status", Key, Prompt, Kept, routes!(agent_status::agent_status)),
        route("/api/livekit/webhook", Open, Prompt, Problem, routes!(webhook::webhook)),

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
