//! One agent per room: the domain of dispatches.

mod model;
mod service;

pub use model::*;
pub use service::Dispatches;
