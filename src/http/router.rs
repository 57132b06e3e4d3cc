//! Every route, each with who may call it, how long it may take and how it tells failures.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};

use super::auth::Access::{self, Key, KeyOrPage, Open};
use super::auth::Needs;
use super::problem::Form::{Kept, Problem};
use super::shell::Patience::{Prompt, Waits};
use super::shell::{Endpoint, Spec, shell};
use super::state::App;
use super::{agents, dispatches, keys, livekit, operation, rooms, shell};
use crate::access::{Scope, Scopes};

/// All routes of a replica.
pub fn router(app: App) -> Router {
    let mut router = Router::new();
    for (template, access, patience, form, methods) in routes() {
        let endpoint = Endpoint { app: app.clone(), spec: Spec { template, access, patience, form } };
        let methods = methods.fallback(shell::method_not_allowed);
        router = router.route(template, methods.layer(from_fn_with_state(endpoint, shell)));
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
    let told = |(template, access, ..): Route| match access {
        Open => RouteAccess { template, scopes: None, is_for_pages: false },
        Key(needs) => RouteAccess { template, scopes: Some((needs.look, needs.change)), is_for_pages: false },
        KeyOrPage(needs) => RouteAccess { template, scopes: Some((needs.look, needs.change)), is_for_pages: true },
    };
    routes().into_iter().map(told).collect()
}

type Route = (&'static str, Access, shell::Patience, super::problem::Form, MethodRouter<App>);

/// Dispatches: who may read looks, who may dispatch does both.
const DISPATCH: Needs =
    Needs { look: Scopes::of(&[Scope::Read, Scope::Dispatch]), change: Scopes::of(&[Scope::Dispatch]) };
/// Keys are for administrators, also to look at.
const KEYS: Needs = Needs { look: Scopes::of(&[Scope::Admin]), change: Scopes::of(&[Scope::Admin]) };

/// `Open` routes check their callers themselves, or serve anybody; `Waits` routes may wait for the provider.
#[rustfmt::skip]
fn routes() -> [Route; 18] {
    use agents::drain::{drain, undrain};
    use dispatches::{activity, alive, create, end, end_of_room, get as get_one, list, ttl};
    use keys::{create as create_key, get as get_key, list as list_keys, revoke};
    use livekit::{agent_status, dispatch_agent, webhook};
    use operation::{healthz, metrics, readyz};
    use rooms::{connect, explain};
    [
        ("/v1/dispatches", Key(DISPATCH), Waits, Problem, post(create::create).get(list::list).delete(end_of_room::end_of_room)),
        ("/v1/dispatches/{id}", Key(DISPATCH), Waits, Problem, get(get_one::get).delete(end::end)),
        ("/v1/dispatches/{id}/activity", Key(DISPATCH), Prompt, Problem, post(activity::activity)),
        ("/v1/dispatches/{id}/alive", Open, Prompt, Problem, post(alive::alive)),
        ("/v1/dispatches/{id}/ttl", Key(DISPATCH), Prompt, Problem, post(ttl::ttl)),
        ("/v1/connect", Key(DISPATCH), Waits, Problem, post(connect::connect)),
        ("/v1/agents/{agent}", Key(DISPATCH), Prompt, Problem, get(agents::get::get)),
        ("/v1/agents/{agent}/drain", Key(DISPATCH), Prompt, Problem, post(drain)),
        ("/v1/agents/{agent}/undrain", Key(DISPATCH), Prompt, Problem, post(undrain)),
        ("/v1/rooms/{room}/explain", Key(DISPATCH), Prompt, Problem, get(explain::explain)),

        ("/v1/keys", Key(KEYS), Prompt, Problem, post(create_key::create).get(list_keys::list)),
        ("/v1/keys/{id}", Key(KEYS), Prompt, Problem, get(get_key::get).delete(revoke::revoke)),

        ("/api/livekit/dispatch-agent", KeyOrPage(DISPATCH), Waits, Kept, post(dispatch_agent::dispatch_agent)),
        ("/api/livekit/agent-status", KeyOrPage(DISPATCH), Prompt, Kept, get(agent_status::agent_status)),
        ("/api/livekit/webhook", Open, Prompt, Problem, post(webhook::webhook)),

        ("/healthz", Open, Prompt, Problem, get(healthz::healthz)),
        ("/readyz", Open, Prompt, Problem, get(readyz::readyz)),
        ("/metrics", Open, Prompt, Problem, get(metrics::metrics)),
    ]
}
