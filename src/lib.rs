//! greenroom: one agent per live room, over any number of replicas.

pub mod background;
pub mod clock;
pub mod cli;
pub mod config;
pub mod dispatch;
pub mod id;
pub mod name;
pub mod provider;
pub mod store;
