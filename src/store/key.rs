//! The scripts of API keys.

use super::dispatch::Fields;
use super::keys::Shard;
use super::{Refusal, Store, StoreError, script};
use crate::access::{ApiKey, NewKey, Scopes};
use crate::id::KeyId;
use crate::name::Name;

/// A key with what only those who check it need to know.
#[derive(Debug, Clone)]
pub struct FoundKey {
    /// The key.
    pub key: ApiKey,
    /// The hash of its secret, as it was stored.
    pub hash: String,
    /// Redis's time when it was read, in milliseconds since 1970.
    pub now_ms: u64,
}

impl Store {
    /// Makes a key of this id, or returns the one that is there. `by`: who makes it.
    pub async fn create_key(&self, id: KeyId, hash: &str, new: &NewKey, by: &str) -> Result<ApiKey, StoreError> {
        let shard = Shard(id.shard());
        let keys =
            [shard.api_key(id), shard.index_api_keys(None), shard.index_api_keys(new.tenant.as_ref()), shard.events()];
        let args = [
            id.to_string(),
            hash.to_owned(),
            new.name.to_string(),
            new.scopes.to_string(),
            new.tenant.as_ref().map(Name::to_string).unwrap_or_default(),
            new.expires_in_seconds.map(|seconds| seconds.to_string()).unwrap_or_default(),
            by.to_owned(),
            new.rate_limit_per_second.map(|limit| limit.to_string()).unwrap_or_default(),
        ];
        Ok(self.change_key(&script::KEY_CREATE, id, &keys, &args).await?.key)
    }

    /// Revokes a key that there is. `by`: who revokes it.
    pub async fn revoke_key(&self, id: KeyId, by: &str) -> Result<ApiKey, StoreError> {
        let shard = self.shard_of_key(id).ok_or(Refusal::NotFound)?;
        let (keys, args) = ([shard.api_key(id), shard.events()], [id.to_string(), by.to_owned()]);
        Ok(self.change_key(&script::KEY_REVOKE, id, &keys, &args).await?.key)
    }

    /// The key of the id, if there is one.
    pub async fn find_key(&self, id: KeyId) -> Result<Option<FoundKey>, StoreError> {
        let Some(shard) = self.shard_of_key(id) else { return Ok(None) };
        let now = self.inner.clock.argument();
        let (now_ms, fields): (u64, Fields) =
            self.call(&script::KEY_GET, &[&shard.api_key(id)], &[now.as_bytes()]).await?;
        if fields.is_empty() { Ok(None) } else { parse(id, now_ms, fields).map(Some) }
    }

    /// Keys in a shard by id, after `after` (a member of the index): of the tenant where one is given, else all.
    /// Each with its member; none where it is remembered no longer.
    pub async fn page_of_keys(
        &self,
        shard: Shard,
        tenant: Option<&Name>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(String, Option<ApiKey>)>, StoreError> {
        let lower = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let args = [self.inner.clock.argument(), shard.prefix(), lower, limit.to_string()];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let (now_ms, raw): (u64, Vec<(String, Fields)>) =
            self.call(&script::KEY_PAGE, &[&shard.index_api_keys(tenant)], &args).await?;
        raw.into_iter()
            .map(|(member, fields)| {
                if fields.is_empty() {
                    return Ok((member, None));
                }
                let id = member.parse().map_err(|_| StoreError::nonsense(format!("key {member}")))?;
                Ok((member, Some(parse(id, now_ms, fields)?.key)))
            })
            .collect()
    }

    async fn change_key(
        &self,
        script: &script::Script,
        id: KeyId,
        keys: &[String],
        args: &[String],
    ) -> Result<FoundKey, StoreError> {
        let now = self.inner.clock.argument();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let args: Vec<&[u8]> = std::iter::once(&now).chain(args).map(String::as_bytes).collect();
        let (now_ms, fields): (u64, Fields) = self.call(script, &keys, &args).await?;
        parse(id, now_ms, fields)
    }

    /// The shard of a key; none where the store has no such shard.
    fn shard_of_key(&self, id: KeyId) -> Option<Shard> {
        (id.shard() < self.shards()).then_some(Shard(id.shard()))
    }
}

fn parse(id: KeyId, now_ms: u64, mut fields: Fields) -> Result<FoundKey, StoreError> {
    let mut text = |field: &str| fields.remove(field).filter(|value| !value.is_empty());
    let nonsense = |field: &str| StoreError::nonsense(format!("{field} of {id}"));
    let hash = text("hash").ok_or_else(|| nonsense("hash"))?;
    // A key whose tenant cannot be read must not open the default tenant's names.
    let tenant = match text("tenant") {
        None => None,
        Some(tenant) => Some(Name::tenant(tenant).map_err(|_| nonsense("tenant"))?),
    };
    let (name, created_by) = (text("name").unwrap_or_default(), text("created_by").unwrap_or_default());
    let scopes = Scopes::parse(&text("scopes").unwrap_or_default());
    let rate_limit_per_second = text("rate_limit").map(|limit| limit.parse().map_err(|_| nonsense("rate_limit")));
    let rate_limit_per_second = rate_limit_per_second.transpose()?;
    let mut time = |field: &str| text(field).map(|value| value.parse().map_err(|_| nonsense(field))).transpose();
    let key = ApiKey {
        id,
        name,
        scopes,
        tenant,
        created_at_ms: time("created_at")?.unwrap_or_default(),
        created_by,
        expires_at_ms: time("expires_at")?,
        revoked_at_ms: time("revoked_at")?,
        rate_limit_per_second,
    };
    Ok(FoundKey { key, hash, now_ms })
}
