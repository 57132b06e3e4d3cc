//! For those who operate the service: is it there, is it ready, how is it doing.

pub(super) mod docs;
pub(super) mod healthz;
pub(super) mod metrics;
pub(super) mod openapi;
pub(super) mod readyz;
