//! greenroom: one agent per live room, over any number of replicas.

pub mod access;
pub mod alert;
pub mod app;
pub mod background;
pub mod breaker;
pub mod cli;
pub mod clock;
pub mod config;
mod cursor;
pub mod dispatch;
pub mod error_report;
pub mod http;
pub mod id;
pub mod idempotency;
pub mod lifecycle;
pub mod lock;
pub mod name;
pub mod policy;
pub mod pool;
pub mod provider;
pub mod redis_url;
pub mod runner;
pub mod scrub;
pub mod store;
pub mod telemetry;
pub mod worker;
