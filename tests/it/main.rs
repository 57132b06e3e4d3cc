//! The integration tests: one binary, one file per subject.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up fails")]

mod dispatch_service;
mod http_shell;
mod provider;
mod standin;
mod standin_checks;
mod standin_recordings;
mod support;
