//! greenroom: one agent per live room, over any number of replicas.

pub mod dispatch;
pub mod http;
pub mod id;
pub mod lifecycle;
pub mod name;
pub mod provider;
pub mod telemetry;
