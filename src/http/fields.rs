//! Fields that are checked while they are read: a handler never sees a bad one.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::access::Scope;
use crate::breaker::Forced;
use crate::dispatch::{PROVIDER_ROOM_CHARS_MAX, SessionState, State};
use crate::error_report::{CONTEXT_MAX, Category, Severity};
use crate::name::{Name, NameError};
use crate::pool::{Affinity, ObservedState, Priority, ResetMode};

/// The longest metadata of an agent, in bytes. LiveKit takes eight times as much; here it is kept in Redis, too, for the
/// dispatch that may have to be made again.
pub(super) const METADATA_BYTES_MAX: usize = 64 * 1024;

/// A room's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoomName(pub(super) Name);

/// A room's name in the browser contract: a page writes it as LiveKit has it, which is longer by the tenant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PageRoomName(pub(super) String);

/// A tenant's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TenantName(pub(super) Name);

/// What an API key is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyName(pub(super) Name);

/// The name of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScopeName(pub(super) Scope);

/// A breaker's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BreakerName(pub(super) Name);

/// The id of a permit, as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PermitId(pub(super) Name);

/// Why a breaker is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note(pub(super) Name);

/// How a call ended: whether it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallOutcome(pub(super) bool);

/// The state that a breaker is to be held in; none lets it go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ForceTo(pub(super) Option<Forced>);

/// An agent's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AgentName(pub(super) Name);

/// A person's identity or name, as the page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PersonName(pub(super) Name);

/// A text for the agent, of bounded length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Metadata(pub(super) String);

/// A lock's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockName(pub(super) Name);

/// Who holds a lock, as the holder calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockOwner(pub(super) Name);

/// A pool's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PoolNameText(pub(super) Name);

/// The name of what happens between two sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResetModeName(pub(super) ResetMode);

/// A version of a pool's worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VersionName(pub(super) Name);

/// What a session is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionName(pub(super) Name);

/// Whether a session is meant by its name, or by its key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum SessionKind {
    #[default]
    Name,
    Key,
}

/// What the worker of a session is kept for, an account say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionKey(pub(super) Name);

/// The name of a place in line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PriorityName(pub(super) Priority);

/// What a session wants where its worker is busy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct AffinityName(pub(super) Affinity);

/// Variables for a session.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Environment(pub(super) BTreeMap<String, String>);

/// A runner's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunnerName(pub(super) Name);

/// What a runner starts workers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DriverName(pub(super) Name);

/// How a runner says that a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ObservedName(pub(super) ObservedState);

/// The name of a dispatch's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StateName(pub(super) State);

/// What an agent reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session(pub(super) SessionState);

/// What something is called, an operation or a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label(pub(super) Name);

/// The name of a category of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CategoryName(pub(super) Category);

/// The name of a severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SeverityName(pub(super) Severity);

/// What a failure said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ErrorText(pub(super) String);

/// Where a failure happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StackText(pub(super) String);

/// What was going on when something failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ErrorContext(pub(super) BTreeMap<String, String>);

/// The longest message of a failure that is taken, in bytes.
pub(super) const ERROR_BYTES_MAX: usize = 4096;
/// The longest stack that is taken, in bytes.
pub(super) const STACK_BYTES_MAX: usize = 32 * 1024;

/// Takes a string and makes something of it, or says what is wrong.
struct Text<T, E> {
    what: &'static str,
    parse: fn(String) -> Result<T, E>,
}

impl<T, E: fmt::Display> Visitor<'_> for Text<T, E> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_str<D: de::Error>(self, text: &str) -> Result<T, D> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<D: de::Error>(self, text: String) -> Result<T, D> {
        (self.parse)(text).map_err(|error| D::custom(format_args!("{} {error}", self.what)))
    }
}

macro_rules! text_field {
    ($field:ty, $what:literal, $parse:expr) => {
        impl<'de> Deserialize<'de> for $field {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_string(Text { what: $what, parse: $parse })
            }
        }
    };
}

// They take the macro along.
mod numbers;
mod schedule;

pub(super) use numbers::*;
pub(super) use schedule::*;

text_field!(RoomName, "a room's name", |text| Name::room(text).map(Self));
text_field!(PageRoomName, "a room's name", |text| match Name::room(text.as_str()) {
    Err(NameError::TooLong) if text.chars().count() <= PROVIDER_ROOM_CHARS_MAX => Ok(Self(text)),
    checked => checked.map(|_| Self(text)),
});
text_field!(TenantName, "a tenant's name", |text| Name::tenant(text).map(Self));
text_field!(KeyName, "a key's name", |text| Name::room(text).map(Self));
text_field!(ScopeName, "a scope", |text| {
    Scope::parse(&text).map(Self).ok_or("must be one of dispatch, pool, worker, task, read, admin")
});
text_field!(AgentName, "an agent's name", |text| Name::strict(text).map(Self));
text_field!(LockName, "a lock's name", |text| Name::strict(text).map(Self));
text_field!(LockOwner, "an owner", |text| Name::room(text).map(Self));
text_field!(BreakerName, "a breaker's name", |text| Name::strict(text).map(Self));
text_field!(PermitId, "a permit", |text| Name::strict(text).map(Self));
text_field!(Note, "a reason", |text| Name::room(text).map(Self));
text_field!(CallOutcome, "an outcome", |text| match text.as_str() {
    "success" => Ok(Self(false)),
    "failure" => Ok(Self(true)),
    _ => Err("must be one of success, failure"),
});
text_field!(ForceTo, "a state", |text| match (text.as_str(), Forced::parse(&text)) {
    ("auto", _) => Ok(Self(None)),
    (_, Some(forced)) => Ok(Self(Some(forced))),
    _ => Err("must be one of open, closed, disabled, auto"),
});
text_field!(PoolNameText, "a pool's name", |text| Name::strict(text).map(Self));
text_field!(ResetModeName, "a mode of reset", |text| {
    ResetMode::parse(&text).map(Self).ok_or("must be one of soft, restart, fresh")
});
text_field!(VersionName, "a version", |text| Name::strict(text).map(Self));
text_field!(SessionName, "a session's name", |text| Name::room(text).map(Self));
text_field!(SessionKind, "a kind", |text| match text.as_str() {
    "name" => Ok(Self::Name),
    "key" => Ok(Self::Key),
    _ => Err("must be one of name, key"),
});
text_field!(SessionKey, "a key", |text| Name::room(text).map(Self));
text_field!(PriorityName, "a priority", |text| {
    Priority::parse(&text).map(Self).ok_or("must be one of urgent, high, normal, low")
});
text_field!(AffinityName, "an affinity", |text| {
    Affinity::parse(&text).map(Self).ok_or("must be one of hint, queue, fail")
});
text_field!(RunnerName, "a runner's name", |text| Name::strict(text).map(Self));
text_field!(DriverName, "a driver", |text| Name::strict(text).map(Self));
text_field!(ObservedName, "a state", |text| {
    ObservedState::parse(&text).map(Self).ok_or("must be one of starting, ready, busy, resetting, stopping, gone")
});
text_field!(PersonName, "a person's name", |text| Name::room(text).map(Self));
text_field!(Metadata, "metadata", |text| {
    if text.len() <= METADATA_BYTES_MAX { Ok(Self(text)) } else { Err("must have at most 65,536 bytes") }
});
text_field!(StateName, "a state", |text| {
    State::parse(&text).map(Self).ok_or("must be one of creating, starting, active, idle, degraded, ending, failed")
});
text_field!(Session, "a session's state", |text| match text.as_str() {
    "open" => Ok(Self(SessionState::Open)),
    "busy" => Ok(Self(SessionState::Busy)),
    "closed" => Ok(Self(SessionState::Closed)),
    _ => Err("must be one of open, busy, closed"),
});

text_field!(Label, "a name", |text| Name::room(text).map(Self));
text_field!(CategoryName, "a category", |text| {
    Category::parse(&text).map(Self).ok_or(
        "must be one of network, timeout, auth, permission, rate_limit, resource, validation, not_found, conflict, \
         dependency, internal, cancelled",
    )
});
text_field!(SeverityName, "a severity", |text| {
    Severity::parse(&text).map(Self).ok_or("must be one of low, medium, high, critical")
});
text_field!(ErrorText, "a message", |text| {
    if (1..=ERROR_BYTES_MAX).contains(&text.len()) { Ok(Self(text)) } else { Err("must have 1 to 4,096 bytes") }
});
text_field!(StackText, "a stack", |text| {
    if text.len() <= STACK_BYTES_MAX { Ok(Self(text)) } else { Err("must have at most 32,768 bytes") }
});

impl<'de> Deserialize<'de> for ErrorContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let context = BTreeMap::<String, String>::deserialize(deserializer)?;
        if context.len() > CONTEXT_MAX {
            return Err(de::Error::custom(format_args!("context must have at most {CONTEXT_MAX} entries")));
        }
        Ok(Self(context))
    }
}

/// The most variables of a session.
pub(super) const VARIABLES_MAX: usize = 64;
/// The most bytes that they have, names and values.
const ENVIRONMENT_BYTES_MAX: usize = 64 * 1024;

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let variables = BTreeMap::<String, String>::deserialize(deserializer)?;
        let bytes: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
        if variables.len() > VARIABLES_MAX || bytes > ENVIRONMENT_BYTES_MAX {
            return Err(de::Error::custom("environment must have at most 64 variables, of 65,536 bytes in all"));
        }
        Ok(Self(variables))
    }
}

/// Shows no value.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Serialize for ResetModeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl Serialize for VersionName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// A field that may be null and must be there.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}

/// A time in milliseconds since 1970, written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timestamp(pub(super) u64);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = i64::try_from(self.0).ok().and_then(chrono::DateTime::from_timestamp_millis);
        match time {
            Some(time) => serializer.serialize_str(&time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)),
            None => Err(serde::ser::Error::custom("a time that no calendar has")),
        }
    }
}

#[cfg(test)]
mod tests;
