//! An API key as callers see it: everything but its secret.

use serde::Serialize;

use crate::access::{ApiKey, Scope};
use crate::http::fields::Timestamp;

/// A key.
#[derive(Debug, Serialize)]
pub(in crate::http) struct KeyView {
    id: String,
    name: String,
    scopes: Vec<&'static str>,
    tenant: Option<String>,
    created_at: Timestamp,
    created_by: String,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            scopes: key.scopes.iter().map(Scope::as_str).collect(),
            tenant: key.tenant.map(|tenant| tenant.to_string()),
            created_at: Timestamp(key.created_at_ms),
            created_by: key.created_by,
            expires_at: key.expires_at_ms.map(Timestamp),
            revoked_at: key.revoked_at_ms.map(Timestamp),
        }
    }
}
