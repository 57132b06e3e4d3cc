//! `/v1/errors`: failures in their groups, ours and those that workers and agents report.

pub(super) mod get;
pub(super) mod list;
pub(super) mod report;
pub(super) mod resolve;
pub(super) mod rules;
mod view;
