//! greenroom: one agent per live room, over any number of replicas.

pub mod app;
pub mod background;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dispatch;
pub mod http;
pub mod id;
pub mod lifecycle;
pub mod name;
pub mod provider;
pub mod redis_url;
pub mod store;
pub mod telemetry;
