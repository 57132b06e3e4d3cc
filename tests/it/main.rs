//! The integration tests: one binary, one file per subject.

mod dispatch_service;
mod standin;
mod standin_recordings;
mod store_acquire;
mod store_faults;
mod store_leader;
mod store_model;
mod store_notice;
mod store_observe;
mod store_reap;
mod store_report;
mod support;
