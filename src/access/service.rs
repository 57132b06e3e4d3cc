//! Keys, made, listed and revoked; and who it is that shows one.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::cache::{Cache, Found};
use super::secret::{self, SecretHash};
use super::{AccessError, ApiKey, Caller, CallerId, KeyPage, NewKey};
use crate::cursor::Walk;
use crate::id::KeyId;
use crate::store::keys::Shard;
use crate::store::{FoundKey, Refusal, Store, StoreError};

/// API keys: made, listed and revoked by those who administer them.
#[derive(Debug, Clone)]
pub struct Keys {
    store: Store,
}

impl Keys {
    /// The keys of the store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Makes a key. Its text is returned here and never again.
    pub async fn create(&self, by: &Caller, new: NewKey) -> Result<(ApiKey, SecretString), AccessError> {
        let new = NewKey { tenant: by.tenant_of_new(new.tenant)?, ..new };
        let id = KeyId::new(rand::random_range(0..self.store.shards()));
        let (text, hash) = secret::mint(id);
        let key = self.store.create_key(id, &hash.encoded(), &new, &by.id().to_string()).await?;
        Ok((key, text))
    }

    /// One key. Another tenant's answers exactly as an unknown one.
    pub async fn get(&self, by: &Caller, id: KeyId) -> Result<ApiKey, AccessError> {
        let found = self.store.find_key(id).await?.map(|found| found.key);
        found.filter(|key| by.sees(key)).ok_or(AccessError::NotFound)
    }

    /// Revokes a key: within a second it opens nothing on any replica. A second time changes nothing.
    pub async fn revoke(&self, by: &Caller, id: KeyId) -> Result<ApiKey, AccessError> {
        self.get(by, id).await?;
        Ok(self.store.revoke_key(id, &by.id().to_string()).await?)
    }

    /// A page of the keys that the caller may know of.
    pub async fn list(&self, by: &Caller, cursor: Option<&str>, limit: u32) -> Result<KeyPage, AccessError> {
        let mut walk = Walk::begin(cursor, limit).ok_or(AccessError::BadCursor)?;
        let mut keys = Vec::new();
        for shard in walk.first..self.store.shards() {
            let (after, left) = (walk.after(), walk.left);
            let found = self.store.page_of_keys(Shard(shard), by.bound_to(), after.as_deref(), left).await?;
            let is_full = walk.is_full_with(shard, &found);
            keys.extend(found.into_iter().filter_map(|(_, key)| key));
            if is_full {
                break;
            }
        }
        Ok(KeyPage { keys, next_cursor: walk.next_cursor })
    }
}

/// Tells who it is that shows a key.
pub struct Access {
    keys: Keys,
    /// None where the key of the settings is empty: then it opens nothing.
    settings_key: Option<SecretHash>,
    root: Arc<Caller>,
    cache: Cache<Holder>,
}

/// A key that opens, and what its holder must show.
#[derive(Debug)]
struct Holder {
    caller: Arc<Caller>,
    hash: SecretHash,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access(…)")
    }
}

impl Access {
    /// The keys of the store, and the first one, of the settings, which needs no store.
    pub fn new(store: Store, settings_key: &SecretString) -> Self {
        let settings_key = settings_key.expose_secret();
        Self {
            keys: Keys::new(store),
            settings_key: (!settings_key.is_empty()).then(|| SecretHash::of(settings_key)),
            root: Arc::new(Caller::root(CallerId::Settings)),
            cache: Cache::new(),
        }
    }

    /// Who shows this text. What opens nothing is refused alike, whatever is wrong with it. A key that was not known
    /// lately is looked up only where strangers are welcome.
    pub async fn admit(
        &self,
        shown: &str,
        are_strangers_welcome: impl FnOnce() -> bool,
    ) -> Result<Arc<Caller>, AccessError> {
        if self.settings_key.is_some_and(|key| key.matches(&SecretHash::of(shown))) {
            return Ok(Arc::clone(&self.root));
        }
        let (id, hash) = secret::parse(shown).ok_or(AccessError::Unauthorized)?;
        let holder = self.cache.get(id, || look_up(self.keys.store.clone(), id), are_strangers_welcome).await?;
        match holder {
            Some(holder) if holder.hash.matches(&hash) => Ok(Arc::clone(&holder.caller)),
            _ => Err(AccessError::Unauthorized),
        }
    }

    /// The keys themselves.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Revokes a key; on this replica it opens nothing from now on.
    pub async fn revoke(&self, by: &Caller, id: KeyId) -> Result<ApiKey, AccessError> {
        let revoked = self.keys.revoke(by, id).await?;
        self.cache.forget(id);
        Ok(revoked)
    }
}

async fn look_up(store: Store, id: KeyId) -> Result<Option<Found<Holder>>, AccessError> {
    let Some(FoundKey { key, hash, now_ms }) = store.find_key(id).await? else { return Ok(None) };
    if !key.is_open_at(now_ms) {
        return Ok(None);
    }
    let hash = SecretHash::decode(&hash).ok_or_else(|| internal(format!("the hash of {id}")))?;
    let lasts = key.expires_at_ms.map(|end| Duration::from_millis(end.saturating_sub(now_ms)));
    let what = Arc::new(Holder { caller: Arc::new(Caller::of_key(&key)), hash });
    Ok(Some(Found { what, lasts }))
}

fn internal(detail: String) -> AccessError {
    AccessError::Internal { detail }
}

impl From<StoreError> for AccessError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { detail } => Self::StoreUnavailable { detail },
            StoreError::Refused(Refusal::NotFound) => Self::NotFound,
            StoreError::Refused(refusal) => internal(refusal.to_string()),
            StoreError::Nonsense { detail } | StoreError::Schema { detail } => internal(detail),
        }
    }
}
