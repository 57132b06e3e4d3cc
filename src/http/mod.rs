//! The HTTP layer: `router.rs` lists every route; one endpoint is one file.
//!
//! ```text
//! server.rs    accepts connections, with their limits and time-outs
//! auth.rs      who calls, whether the route is open to them, and whether they may call now
//! shell.rs     what surrounds every handler: request id, caller, deadline, metrics, access log
//! router.rs    all routes, each with who may call it and how long it may take
//! openapi/     the document of the API, made of the handlers and the routes; a page of it
//! problem.rs   every failure a caller can see
//! <resource>/  one endpoint per file: its types, its handler, its tests
//! ```
//!
//! A handler turns a request into a call of the domain and the answer into JSON. It decides nothing.

mod agents;
mod auth;
mod breakers;
mod cors;
mod dispatches;
mod extract;
mod fields;
mod idempotency;
mod keys;
mod livekit;
mod openapi;
mod operation;
mod peer;
mod problem;
mod problem_catalogue;
#[cfg(test)]
mod problem_page;
mod rate_limit;
mod request_id;
mod rooms;
mod router;
mod server;
mod shell;
mod state;
mod timed_io;

pub use livekit::door::{JoinRequest, LiveKitDoor, WebhookRefusal};
pub use openapi::document;
pub use operation::readyz::{Check, Readiness};
pub use router::{RouteAccess, route_access, router};
pub use server::{Server, ServerOptions};
pub use state::{App, AppState, HttpSettings};
