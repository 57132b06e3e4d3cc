//! The OpenAPI document: what each handler says of itself in its `#[utoipa::path]`, and what surrounds
//! every one of them, which the table of routes tells.

pub(in crate::http) mod page;
pub(in crate::http) mod refusals;
mod schemas;

use std::sync::LazyLock;

use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, Header, Object, Ref, RefOr, Schema};

use super::auth::Access;
use super::budget::{REQUEST_TIMEOUT, TIMEOUT_MS_MAX};
use super::fields;
use super::problem::{Document, Form, KeptFailure};
use super::router::table;
use crate::alert::{AlertState, Rule};
use crate::error_report::GroupId;
use crate::id::{DispatchId, KeyId};

/// What the agent's report carries.
pub(in crate::http) const AGENT_TOKEN: &str = "AgentToken";

/// The document as it is served. It is the same for every replica of a version.
pub fn document() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        // Names, texts and numbers are always JSON.
        assemble().to_json().unwrap_or_default()
    });
    &TEXT
}

/// What is said once for all operations. Version, licence and description are Cargo's.
#[derive(OpenApi)]
#[openapi(
    tags(
        (name = "dispatches", description = "The agents of rooms: at most one live agent of a name per room."),
        (name = "rooms", description = "Joining a room together with its agent, and why it has one or none."),
        (name = "breakers", description = "Circuit breakers that all callers share."),
        (name = "agents", description = "Agents by name: what concerns a deploy, not one room."),
        (name = "pools", description = "Pools of warm workers: how each is to be, and how it is."),
        (name = "leases", description = "A session's right to a worker, for a time."),
        (name = "sessions", description = "Sessions of a pool, by their names and keys: looked at, and ended."),
        (name = "workers", description = "Workers of pools: looked at, taken out, brought back."),
        (name = "runners", description = "Runners, which start, reset and stop workers on their hosts."),
        (name = "locks", description = "Locks over all replicas: a lease with an owner and a fencing token."),
        (name = "policies", description = "How long things may take, and when they are tried again."),
        (name = "errors", description = "Failures in their groups: those of the service, and those that workers and agents report."),
        (name = "alerts", description = "What somebody should know of, over all replicas and tenants."),
        (name = "keys", description = "API keys: who may call. For administrators."),
        (name = "livekit", description = "The contracts of browsers, and LiveKit's webhooks. They keep their own form."),
        (name = "operation", description = "Is it there, is it ready, how is it doing, what can it do. Anybody may ask."),
    ),
    components(schemas(
        fields::RoomName, fields::AgentName, fields::PersonName, fields::Metadata, fields::TtlSeconds,
        fields::StateName, fields::PageRoomName, fields::TenantName, fields::KeyName, fields::ScopeName,
        fields::KeyLifeSeconds, fields::RateLimitPerSecond, fields::LockName, fields::LockOwner, fields::LeaseSeconds,
        fields::WaitSeconds, fields::FencingToken, KeyId, fields::Session, fields::SessionKind, fields::Timestamp,
        fields::Label, fields::CategoryName, fields::SeverityName, fields::ErrorText, fields::StackText,
        fields::ErrorContext, fields::HttpStatus, fields::SnoozeSeconds, GroupId, Rule, AlertState, DispatchId, Document<'_>, KeptFailure<'_>,
    ))
)]
struct Base;

fn assemble() -> utoipa::openapi::OpenApi {
    let mut api = Base::openapi();
    let components = api.components.get_or_insert_default();
    describe_shared(components);
    for route in table() {
        let (schemas, paths, _) = route.methods;
        components.schemas.extend(schemas);
        for (path, mut item) in paths.paths {
            for operation in operations(&mut item) {
                surround(operation, route.access, route.form);
            }
            api.paths.paths.insert(path, item);
        }
    }
    api
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

/// The headers that the shell gives to every answer.
const OF_EVERY_ANSWER: [&str; 3] = ["X-Request-Id", "Cache-Control", "X-Content-Type-Options"];

/// The headers that it gives to every answer to the holder of a key.
const OF_KEYS: [&str; 2] = ["RateLimit", "RateLimit-Policy"];

/// Adds what the shell does around every handler.
fn surround(operation: &mut Operation, access: Access, form: Form) {
    let by = |scheme: &str| SecurityRequirement::new::<_, [&str; 0], &str>(scheme, []);
    match access {
        Access::Key(_) => operation.security = Some(vec![by("ApiKey")]),
        Access::KeyOrPage(_) => operation.security = Some(vec![by("ApiKey"), by("PageToken")]),
        Access::Open => {}
    }
    refusals::describe(operation, access, form);
    for name in ["X-Request-Id", REQUEST_TIMEOUT] {
        let given = RefOr::<Parameter>::Ref(Ref::new(format!("#/components/parameters/{name}")));
        operation.parameters.get_or_insert_default().push(given);
    }
    for answer in operation.responses.responses.values_mut() {
        if let RefOr::T(answer) = answer {
            let of_keys = OF_KEYS.into_iter().filter(|_| access != Access::Open);
            for name in OF_EVERY_ANSWER.into_iter().chain(of_keys) {
                let header = RefOr::<Header>::Ref(Ref::new(format!("#/components/headers/{name}")));
                answer.headers.insert(name.to_owned(), header);
            }
        }
    }
}

fn describe_shared(components: &mut Components) {
    let id = || text().min_length(Some(1)).max_length(Some(128)).pattern(Some("^[A-Za-z0-9._-]{1,128}$")).build();
    let given = ParameterBuilder::new()
        .name("X-Request-Id")
        .parameter_in(ParameterIn::Header)
        .description(Some("The request's id, which answers, problems and log lines then carry. Any other text than such an id is replaced."))
        .schema(Some(text().examples(["Req_1.a-b"])))
        .build();
    components.parameters.insert("X-Request-Id".to_owned(), given.into());
    let whole = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(TIMEOUT_MS_MAX));
    let budget = ParameterBuilder::new()
        .name(REQUEST_TIMEOUT)
        .parameter_in(ParameterIn::Header)
        .description(Some("How long the caller still waits for the answer, in milliseconds; what is longer than the route may take changes nothing. What is not done then is answered with 202 where there is such an answer, else with 503 `timeout`, and goes on."))
        .schema(Some(whole.examples([2500])))
        .build();
    components.parameters.insert(REQUEST_TIMEOUT.to_owned(), budget.into());
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).build();
    for (name, schema, description) in [
        ("X-Request-Id", id(), "The caller's id of the request, or one made for it."),
        ("ETag", text().build(), "Names what was answered: show it in `If-None-Match`."),
        ("Cache-Control", text().build(), "What may be kept of the answer: nothing, mostly."),
        (
            "X-Content-Type-Options",
            text().enum_values(Some(["nosniff"])).build(),
            "The content type is to be believed.",
        ),
        ("Retry-After", seconds, "After how many seconds the same request may succeed."),
        (
            "RateLimit",
            text().pattern(Some(r#"^"key";r=[0-9]+;t=1$"#)).examples([r#""key";r=1980;t=1"#]).build(),
            "How many calls are left to the key (`r`) until the next second begins, in at most `t` seconds. Not told where the key has no limit, and not to pages.",
        ),
        (
            "RateLimit-Policy",
            text().pattern(Some(r#"^"key";q=[0-9]+;w=1$"#)).examples([r#""key";q=2000;w=1"#]).build(),
            "How many calls the key may make (`q`) in each second (`w` is 1), on all replicas together.",
        ),
        ("WWW-Authenticate", text().build(), "How to say who one is."),
    ] {
        components.headers.insert(name.to_owned(), header(schema, description).into());
    }
    let bearer = |description: &str| {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description));
        SecurityScheme::Http(scheme.build())
    };
    let signature =
        ApiKeyValue::with_description("Authorization", "LiveKit's signature over the body: a JWT without `Bearer`.");
    for (name, scheme) in [
        (
            "ApiKey",
            bearer(
                "An API key: the one of the settings, or one made by `POST /v1/keys`. It belongs on a server, not in a page.",
            ),
        ),
        ("PageToken", bearer("A page's LiveKit access token, for the room that it names alone.")),
        (AGENT_TOKEN, bearer("The agent's own token, from its job's attribute `greenroom.token`.")),
        ("LiveKitSignature", SecurityScheme::ApiKey(ApiKey::Header(signature))),
    ] {
        components.security_schemes.insert(name.to_owned(), scheme.into());
    }
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn header(schema: Object, description: &str) -> Header {
    let mut header = Header::new(Schema::Object(schema));
    header.description = Some(description.to_owned());
    header
}
