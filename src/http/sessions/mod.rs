//! Sessions of a pool, by their names and keys.

pub(super) mod end;
pub(super) mod get;
pub(super) mod list;
pub(super) mod view;

use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::fields::{SessionKind, SessionName};
use crate::pool::SessionRef;

/// Whether a name or a key is meant: two that read alike are two sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Which {
    /// `name` or `key`.
    #[serde(default)]
    #[param(value_type = SessionKind, default = "name", required = false)]
    kind: SessionKind,
}

impl Which {
    fn session(&self, SessionName(name): SessionName) -> SessionRef {
        match self.kind {
            SessionKind::Name => SessionRef::Named(name),
            SessionKind::Key => SessionRef::Keyed(name),
        }
    }
}
