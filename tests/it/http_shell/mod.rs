//! The HTTP layer as its callers meet it: everything that is decided before the domain is asked.

mod access;
mod bodies;
mod breakers;
mod budget;
mod connections;
mod cors;
mod document;
mod harness;
mod hostile;
mod limits;
mod livekit;
mod locks;
mod names;
mod policies;
mod pools;
mod routes;
mod runners;
