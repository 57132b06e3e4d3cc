//! What keys, scopes and callers are, and what a caller may do: no transport, no store.

use std::fmt;
use std::num::NonZeroU32;

use crate::dispatch::room_of;
use crate::id::KeyId;
use crate::name::Name;

/// What a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Dispatches: asking for agents, changing, ending and reading them.
    Dispatch,
    /// Pools.
    Pool,
    /// Workers.
    Worker,
    /// Tasks.
    Task,
    /// Looking at everything but keys, changing nothing.
    Read,
    /// Everything, and the keys.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] = [Self::Dispatch, Self::Pool, Self::Worker, Self::Task, Self::Read, Self::Admin];

    /// The word for it on the wire and in Redis.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dispatch => "dispatch",
            Self::Pool => "pool",
            Self::Worker => "worker",
            Self::Task => "task",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    /// The scope of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// The set of these.
    pub const fn of(scopes: &[Scope]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < scopes.len() {
            set |= 1 << scopes[at] as u8;
            at += 1;
        }
        Self(set)
    }

    /// Whether it is in the set.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a holder of these may do what any of `needed` allows; `admin` opens everything.
    pub fn open(self, needed: Self) -> bool {
        self.contains(Scope::Admin) || self.0 & needed.0 != 0
    }

    /// Those in the set.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    /// The set that [`fmt::Display`] wrote; a word that this release does not know opens nothing.
    pub fn parse(text: &str) -> Self {
        let known: Vec<Scope> = text.split(',').filter_map(Scope::parse).collect();
        Self::of(&known)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.iter().map(Scope::as_str).collect();
        f.write_str(&words.join(","))
    }
}

/// An API key as Redis has it, without its secret. Times are milliseconds since 1970 by Redis's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// No secret: it is shown in lists.
    pub id: KeyId,
    /// What its maker calls it.
    pub name: String,
    /// What it opens.
    pub scopes: Scopes,
    /// Whose names alone it sees; none where it is not bound.
    pub tenant: Option<Name>,
    /// When it was made.
    pub created_at_ms: u64,
    /// Who made it: see [`CallerId`].
    pub created_by: String,
    /// When it stops opening; none where it never does by itself.
    pub expires_at_ms: Option<u64>,
    /// When it was revoked.
    pub revoked_at_ms: Option<u64>,
    /// How many calls its holder may make a second; as many as the settings say where none.
    pub rate_limit_per_second: Option<NonZeroU32>,
}

impl ApiKey {
    /// Whether it opens anything at that time.
    pub fn is_open_at(&self, now_ms: u64) -> bool {
        self.revoked_at_ms.is_none() && self.expires_at_ms.is_none_or(|end| now_ms < end)
    }
}

/// The highest limit of a key, in calls a second.
pub const RATE_LIMIT_MAX: u32 = 1_000_000;

/// A key that is to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What its maker calls it.
    pub name: Name,
    /// What it opens.
    pub scopes: Scopes,
    /// Whose names alone it shall see.
    pub tenant: Option<Name>,
    /// How long it opens; for good where none.
    pub expires_in_seconds: Option<u32>,
    /// How many calls its holder may make a second; as many as the settings say where none.
    pub rate_limit_per_second: Option<NonZeroU32>,
}

/// A page of the keys, oldest first within a shard. It may be short, and still have a next one.
#[derive(Debug, Clone)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<ApiKey>,
    /// Where the next page starts; none at the end.
    pub next_cursor: Option<String>,
}

/// Who calls, in one word: what limits and remembered answers of a caller are kept under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CallerId {
    /// The holder of the settings' key.
    Settings,
    /// Who runs a command on a machine that reaches Redis.
    Command,
    /// The holder of a key.
    Key(KeyId),
    /// A page with a LiveKit token for this room, as the provider calls it.
    Page(String),
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings => f.write_str("settings"),
            Self::Command => f.write_str("command"),
            Self::Key(id) => id.fmt(f),
            Self::Page(room) => write!(f, "page:{room}"),
        }
    }
}

/// The one room that a page may ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRoom {
    /// Its name at the provider, as the page's token has it.
    pub provider_room: String,
    /// Its name among those of its tenant.
    pub room: Name,
}

/// Who calls, whose names they see, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    id: CallerId,
    tenant: Name,
    is_bound: bool,
    scopes: Scopes,
    page: Option<PageRoom>,
    rate_limit: Option<NonZeroU32>,
}

impl Caller {
    /// Who may do everything: the holder of the settings' key, or of the machine.
    pub fn root(id: CallerId) -> Self {
        let scopes = Scopes::of(&[Scope::Admin]);
        Self { id, tenant: Name::default_tenant(), is_bound: false, scopes, page: None, rate_limit: None }
    }

    /// The holder of a key.
    pub fn of_key(key: &ApiKey) -> Self {
        Self {
            id: CallerId::Key(key.id),
            tenant: key.tenant.clone().unwrap_or_else(Name::default_tenant),
            is_bound: key.tenant.is_some(),
            scopes: key.scopes,
            page: None,
            rate_limit: key.rate_limit_per_second,
        }
    }

    /// A page whose token lets it into this room of the provider; `None` where that is no room of ours.
    pub fn page(provider_room: &str) -> Option<Self> {
        let (tenant, room) = room_of(provider_room)?;
        let page = PageRoom { provider_room: provider_room.to_owned(), room };
        let id = CallerId::Page(provider_room.to_owned());
        Some(Self { id, tenant, is_bound: true, scopes: Scopes::default(), page: Some(page), rate_limit: None })
    }

    /// Who it is.
    pub fn id(&self) -> &CallerId {
        &self.id
    }

    /// Whose names the caller sees and makes.
    pub fn tenant(&self) -> &Name {
        &self.tenant
    }

    /// The room of a page; `None` for whoever has a key.
    pub fn page_room(&self) -> Option<&PageRoom> {
        self.page.as_ref()
    }

    /// How many calls the caller may make a second, if the settings do not say it.
    pub(super) fn rate_limit(&self) -> Option<NonZeroU32> {
        self.rate_limit
    }

    /// Whether the caller may do what any of the scopes allows.
    pub fn may(&self, needed: Scopes) -> bool {
        self.scopes.open(needed)
    }

    /// Whether the caller sees one tenant's names alone.
    pub fn is_bound(&self) -> bool {
        self.is_bound
    }

    /// The tenant that the caller is bound to.
    pub(super) fn bound_to(&self) -> Option<&Name> {
        self.is_bound.then_some(&self.tenant)
    }

    /// Whether the caller may know of the key.
    pub(super) fn sees(&self, key: &ApiKey) -> bool {
        self.bound_to().is_none_or(|tenant| key.tenant.as_ref() == Some(tenant))
    }

    /// The tenant of a key that the caller makes: a bound caller's keys are bound to the same tenant.
    pub(super) fn tenant_of_new(&self, wanted: Option<Name>) -> Result<Option<Name>, AccessError> {
        match (self.bound_to(), wanted) {
            (None, wanted) => Ok(wanted),
            (Some(own), Some(wanted)) if *own != wanted => Err(AccessError::Forbidden),
            (Some(own), _) => Ok(Some(own.clone())),
        }
    }
}

/// Why the caller does not get what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Nothing that opens was shown: none, a wrong, an expired or a revoked one. All alike.
    #[error("no key that opens")]
    Unauthorized,
    /// The caller's address has shown too many wrong keys, so that unknown ones are not looked up for it now.
    #[error("too many wrong keys")]
    TooManyWrong,
    /// The caller is known, and may not do this.
    #[error("not allowed to this caller")]
    Forbidden,
    /// There is no such key.
    #[error("no such key")]
    NotFound,
    /// The cursor is not one of ours.
    #[error("not a cursor of this list")]
    BadCursor,
    /// Redis is not reachable, or so many strange keys are being looked up that no more are.
    #[error("the store is unavailable: {detail}")]
    StoreUnavailable {
        /// For a developer.
        detail: String,
    },
    /// A defect.
    #[error("internal error: {detail}")]
    Internal {
        /// For a developer.
        detail: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tenant: Option<&str>) -> ApiKey {
        ApiKey {
            id: KeyId::new(3),
            name: "web".to_owned(),
            scopes: Scopes::of(&[Scope::Dispatch]),
            tenant: tenant.map(|tenant| Name::tenant(tenant).unwrap()),
            created_at_ms: 1,
            created_by: CallerId::Settings.to_string(),
            expires_at_ms: None,
            revoked_at_ms: None,
            rate_limit_per_second: None,
        }
    }

    #[test]
    fn scopes_open_what_they_name_and_admin_everything() {
        let dispatch = Scopes::of(&[Scope::Dispatch]);
        let look = Scopes::of(&[Scope::Dispatch, Scope::Read]);
        assert!(dispatch.open(look) && dispatch.open(dispatch));
        assert!(Scopes::of(&[Scope::Read]).open(look) && !Scopes::of(&[Scope::Read]).open(dispatch));
        assert!(Scopes::of(&[Scope::Admin]).open(dispatch) && !look.open(Scopes::of(&[Scope::Admin])));
        assert!(!Scopes::default().open(look));
    }

    #[test]
    fn scopes_are_written_and_read() {
        for scopes in [Scopes::default(), Scopes::of(&[Scope::Read, Scope::Dispatch]), Scopes::of(&Scope::ALL)] {
            assert_eq!(Scopes::parse(&scopes.to_string()), scopes);
        }
        assert_eq!(Scopes::parse("read,everything"), Scopes::of(&[Scope::Read]));
    }

    #[test]
    fn a_bound_caller_stays_with_its_tenant() {
        let acme = Name::tenant("acme").unwrap();
        let (bound, free) = (Caller::of_key(&key(Some("acme"))), Caller::of_key(&key(None)));
        assert_eq!((bound.tenant(), free.tenant().as_str()), (&acme, "default"));
        assert!(bound.sees(&key(Some("acme"))) && !bound.sees(&key(Some("other"))) && !bound.sees(&key(None)));
        assert!(free.sees(&key(Some("acme"))) && free.sees(&key(None)));
        assert_eq!(bound.tenant_of_new(None), Ok(Some(acme.clone())));
        assert_eq!(bound.tenant_of_new(Some(Name::default_tenant())), Err(AccessError::Forbidden));
        assert_eq!(free.tenant_of_new(Some(acme.clone())), Ok(Some(acme)));
        assert_eq!(free.tenant_of_new(None), Ok(None));
    }

    #[test]
    fn a_page_has_one_room_and_no_scope() {
        let page = Caller::page("acme::lobby").unwrap();
        assert_eq!((page.tenant().as_str(), page.page_room().unwrap().room.as_str()), ("acme", "lobby"));
        assert!(Scope::ALL.iter().all(|scope| !page.may(Scopes::of(&[*scope]))));
        assert!(Caller::page("default::lobby").is_none());
    }

    #[test]
    fn a_key_opens_until_it_is_revoked_or_over() {
        let until = ApiKey { expires_at_ms: Some(10), ..key(None) };
        assert!(until.is_open_at(9) && !until.is_open_at(10) && key(None).is_open_at(u64::MAX));
        assert!(!ApiKey { revoked_at_ms: Some(5), ..key(None) }.is_open_at(1));
    }
}
