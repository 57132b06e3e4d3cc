//! An API key as callers see it: everything but its secret.

use std::num::NonZeroU32;

use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{ApiKey, Scope};
use crate::http::fields::{KeyName, RateLimitPerSecond, ScopeName, TenantName, Timestamp};
use crate::id::KeyId;

/// A key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(in crate::http) struct KeyView {
    #[schema(value_type = KeyId)]
    id: String,
    #[schema(value_type = KeyName)]
    name: String,
    #[schema(value_type = Vec<ScopeName>)]
    scopes: Vec<&'static str>,
    /// Whose names alone it sees; null where it is bound to none.
    #[schema(required, value_type = Option<TenantName>)]
    tenant: Option<String>,
    created_at: Timestamp,
    /// The id of the key that made it, or where else it came from.
    created_by: String,
    #[schema(required)]
    expires_at: Option<Timestamp>,
    #[schema(required)]
    revoked_at: Option<Timestamp>,
    /// How many calls it may make a second; null where the settings say it.
    #[schema(required, value_type = Option<RateLimitPerSecond>)]
    rate_limit_per_second: Option<NonZeroU32>,
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
            rate_limit_per_second: key.rate_limit_per_second,
        }
    }
}
