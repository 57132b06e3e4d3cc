//! The integration tests: one binary, one file per subject.

#[cfg(test)]
mod provider;
mod standin;
mod standin_recordings;
