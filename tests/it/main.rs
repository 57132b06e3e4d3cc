//! The integration tests: one binary, one file per subject.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up fails")]

mod binary_commands;
mod binary_dev;
mod binary_replicas;
mod binary_stop;
mod dispatch_service;
mod http_shell;
mod life_admission;
mod life_breaks;
mod life_ends;
mod life_faults;
mod life_many;
mod life_return;
mod life_shipped;
mod life_ttl;
mod life_webhooks;
mod life_workers;
mod provider;
mod standin;
mod standin_checks;
mod standin_recordings;
mod store_acquire;
mod store_admission;
mod store_faults;
mod store_leader;
mod store_model;
mod store_notice;
mod store_observe;
mod store_reap;
mod store_report;
mod support;
mod topology_cluster;
mod topology_sentinel;
