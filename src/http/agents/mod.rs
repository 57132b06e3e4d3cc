//! Agents by name: what concerns a deploy, not one room.

pub(super) mod drain;
pub(super) mod get;
pub(super) mod undrain;
mod view;
