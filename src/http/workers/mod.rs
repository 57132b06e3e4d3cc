//! Workers of pools: looked at, taken out, brought back.

pub(super) mod get;
pub(super) mod list;
pub(super) mod mark;
mod view;
