//! The HTTP layer: `router.rs` lists every route; one endpoint is one file.
//!
//! ```text
//! server.rs    accepts connections, with their limits and time-outs
//! budget.rs    how long the caller waits for an answer
//! auth.rs      who calls, whether the route is open to them, and whether they may call now
//! shell.rs     what surrounds every handler: request id, caller, deadline, metrics, access log
//! router.rs    all routes, each with who may call it and how long it may take
//! openapi/     the document of the API, made of the handlers and the routes; a page of it
//! problem.rs   every failure a caller can see; texts.rs has its words
//! <resource>/  one endpoint per file: its types, its handler, its tests
//! ```
//!
//! A handler turns a request into a call of the domain and the answer into JSON. It decides nothing.

mod agents;
mod alerts;
mod auth;
mod breakers;
mod budget;
mod cors;
mod dispatches;
mod errors;
mod extract;
mod fields;
mod idempotency;
mod keys;
mod leases;
mod livekit;
mod locks;
mod openapi;
mod operation;
mod paging;
mod peer;
mod policies;
mod pools;
mod problem;
mod problem_catalogue;
mod problem_class;
#[cfg(test)]
mod problem_page;
mod rate_limit;
mod request_id;
mod rooms;
mod router;
mod runners;
mod server;
mod sessions;
mod shell;
mod state;
mod texts;
mod timed_io;
mod workers;

pub use livekit::door::{JoinRequest, LiveKitDoor, WebhookRefusal};
pub use openapi::document;
pub use operation::readyz::{Check, Readiness};
pub use policies::Policies;
pub use router::{RouteAccess, route_access, router};
pub use server::{Server, ServerOptions};
pub use state::{App, AppState, HttpSettings};
pub use texts::Texts;
