//! The integration tests: one binary, one file per subject.

mod standin;
mod standin_checks;
mod standin_recordings;
