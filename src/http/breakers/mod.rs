//! `/v1/breakers`: circuit breakers, greenroom's own and those of callers.

pub(super) mod force;
pub(super) mod get;
pub(super) mod list;
pub(super) mod permit;
pub(super) mod report;
pub(super) mod reset;
mod rules;
mod view;
