//! Every route, each with who may call it, how long it may take and how it tells failures.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};

use super::problem::Form::{Kept, Problem};
use super::shell::Access::{Key, Open};
use super::shell::Patience::{Prompt, Waits};
use super::shell::{Endpoint, Spec, shell};
use super::state::App;
use super::{agents, cors, dispatches, livekit, operation, rooms, shell};

/// All routes of a replica.
pub fn router(app: App) -> Router {
    let cors = cors::layer(&app.settings.cors_origins);
    let mut router = Router::new();
    for (template, access, patience, form, methods) in routes() {
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

type Route = (&'static str, shell::Access, shell::Patience, super::problem::Form, MethodRouter<App>);

/// `Open` routes check their callers themselves, or serve anybody; `Waits` routes may wait for the provider.
#[rustfmt::skip]
fn routes() -> [Route; 16] {
    use agents::drain::{drain, undrain};
    use dispatches::{activity, alive, create, end, end_of_room, get as get_one, list, ttl};
    use livekit::{agent_status, dispatch_agent, webhook};
    use operation::{healthz, metrics, readyz};
    use rooms::{connect, explain};
    [
        ("/v1/dispatches", Key, Waits, Problem, post(create::create).get(list::list).delete(end_of_room::end_of_room)),
        ("/v1/dispatches/{id}", Key, Waits, Problem, get(get_one::get).delete(end::end)),
        ("/v1/dispatches/{id}/activity", Key, Prompt, Problem, post(activity::activity)),
        ("/v1/dispatches/{id}/alive", Open, Prompt, Problem, post(alive::alive)),
        ("/v1/dispatches/{id}/ttl", Key, Prompt, Problem, post(ttl::ttl)),
        ("/v1/connect", Key, Waits, Problem, post(connect::connect)),
        ("/v1/agents/{agent}", Key, Prompt, Problem, get(agents::get::get)),
        ("/v1/agents/{agent}/drain", Key, Prompt, Problem, post(drain)),
        ("/v1/agents/{agent}/undrain", Key, Prompt, Problem, post(undrain)),
        ("/v1/rooms/{room}/explain", Key, Prompt, Problem, get(explain::explain)),

        ("/api/livekit/dispatch-agent", Key, Waits, Kept, post(dispatch_agent::dispatch_agent)),
        ("/api/livekit/agent-status", Key, Prompt, Kept, get(agent_status::agent_status)),
        ("/api/livekit/webhook", Open, Prompt, Problem, post(webhook::webhook)),

        ("/healthz", Open, Prompt, Problem, get(healthz::healthz)),
        ("/readyz", Open, Prompt, Problem, get(readyz::readyz)),
        ("/metrics", Open, Prompt, Problem, get(metrics::metrics)),
    ]
}
