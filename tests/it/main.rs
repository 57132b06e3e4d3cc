//! The integration tests: one binary, one file per subject.

mod dispatch_service;
mod standin;
mod standin_recordings;
mod support;
