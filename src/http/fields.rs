//! Fields that are checked while they are read: a handler never sees a bad one.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::access::{RATE_LIMIT_MAX, Scope};
use crate::breaker::Forced;
use crate::dispatch::{PROVIDER_ROOM_CHARS_MAX, SessionState, State};
use crate::error_report::{CONTEXT_MAX, Category, Severity};
use crate::name::{Name, NameError};

/// The longest metadata of an agent, in bytes. LiveKit takes eight times as much; here it is kept in Redis, too, for the
/// dispatch that may have to be made again.
pub(super) const METADATA_BYTES_MAX: usize = 64 * 1024;

/// The longest time to live that can be asked for: a day.
pub(super) const TTL_SECONDS_MAX: u32 = 86_400;

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

/// How long an API key opens, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyLifeSeconds(pub(super) u32);

/// How many calls a second a key may make: 1 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateLimitPerSecond(pub(super) NonZeroU32);

/// How many things a page of a list has at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageLimit(pub(super) u32);

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

/// How long a breaker is held, in seconds: at most thirty days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ForceSeconds(pub(super) u32);

/// A whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Count(pub(super) u32);

/// An agent's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AgentName(pub(super) Name);

/// A person's identity or name, as the page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PersonName(pub(super) Name);

/// A text for the agent, of bounded length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Metadata(pub(super) String);

/// 1 to 86,400 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TtlSeconds(pub(super) u32);

/// A lock's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockName(pub(super) Name);

/// Who holds a lock, as the holder calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockOwner(pub(super) Name);

/// How long a lock is held without being renewed: 1 to 3,600 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeaseSeconds(pub(super) u32);

/// How long a caller waits: 0 to 30 seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WaitSeconds(pub(super) u32);

/// A fencing token. JSON's numbers are exact up to its largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FencingToken(pub(super) u64);

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

/// A status of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HttpStatus(pub(super) u16);

/// For how long an alert is snoozed, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SnoozeSeconds(pub(super) u32);

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

/// The highest status of HTTP.
pub(super) const HTTP_STATUS_MAX: u32 = 999;
/// A day of seconds: who wants it quiet for longer raises the threshold.
pub(super) const SNOOZE_SECONDS_MAX: u32 = 86_400;

impl<'de> Deserialize<'de> for HttpStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let status = deserializer.deserialize_any(Whole { what: "status", min: 1, max: HTTP_STATUS_MAX.into() })?;
        u16::try_from(status).map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for SnoozeSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds =
            deserializer.deserialize_any(Whole { what: "seconds", min: 1, max: SNOOZE_SECONDS_MAX.into() })?;
        u32::try_from(seconds).map(Self).map_err(de::Error::custom)
    }
}

/// Ten years of seconds: longer than anybody plans.
pub(super) const KEY_LIFE_SECONDS_MAX: u32 = 315_360_000;

/// The longest lease of a lock, in seconds: who needs it for longer renews it.
pub(super) const LEASE_SECONDS_MAX: u32 = 3_600;

/// The longest wait that can be asked for, in seconds: balancers cut what is silent for a minute.
pub(super) const WAIT_SECONDS_MAX: u32 = 30;

/// The largest whole number up to which every JSON reader is exact.
pub(super) const TOKEN_MAX: u64 = (1 << 53) - 1;

/// Fields that are whole numbers of a range, in their own type.
macro_rules! whole_field {
    ($field:ident, $what:literal, $min:expr, $max:expr) => {
        impl<'de> Deserialize<'de> for $field {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let whole = Whole { what: $what, min: $min, max: $max.into() };
                let number = deserializer.deserialize_any(whole)?;
                number.try_into().map(Self).map_err(|_| de::Error::custom(whole))
            }
        }
    };
}

whole_field!(TtlSeconds, "ttl_seconds", 1, TTL_SECONDS_MAX);
whole_field!(LeaseSeconds, "ttl_seconds", 1, LEASE_SECONDS_MAX);
whole_field!(WaitSeconds, "wait_seconds", 0, WAIT_SECONDS_MAX);
whole_field!(FencingToken, "token", 1, TOKEN_MAX);
whole_field!(KeyLifeSeconds, "expires_in_seconds", 1, KEY_LIFE_SECONDS_MAX);

impl<'de> Deserialize<'de> for RateLimitPerSecond {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let whole = Whole { what: "rate_limit_per_second", min: 1, max: RATE_LIMIT_MAX.into() };
        let limit = u32::try_from(deserializer.deserialize_any(whole)?).ok().and_then(NonZeroU32::new);
        limit.map(Self).ok_or_else(|| de::Error::custom(whole))
    }
}

/// Thirty days of seconds.
pub(super) const FORCE_SECONDS_MAX: u32 = 2_592_000;

whole_field!(ForceSeconds, "duration_seconds", 1, FORCE_SECONDS_MAX);
whole_field!(Count, "a number", 0, u32::MAX);

/// Takes a whole number within bounds. Whatever stands there is read: a number that is none of ours is no
/// fault of the JSON.
#[derive(Clone, Copy)]
struct Whole {
    what: &'static str,
    min: u64,
    max: u64,
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {} to {}", self.what, self.min, self.max)
    }
}

impl Visitor<'_> for Whole {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} to {}", self.what, self.min, self.max)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
        if (self.min..=self.max).contains(&number) { Ok(number) } else { Err(E::custom(self)) }
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<u64, E> {
        let whole = whole(number).ok_or_else(|| E::invalid_type(de::Unexpected::Float(number), &self))?;
        self.visit_u64(u64::try_from(whole).unwrap_or(u64::MAX))
    }
}

/// The whole number that this is, for in JSON `60.0` is 60; beyond the range of `i64` its nearest end.
pub(super) fn whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "it saturates, and has no fraction")]
    (number.fract() == 0.0).then_some(number as i64)
}

const PAGE_LIMIT_DEFAULT: u32 = 100;
const PAGE_LIMIT_MAX: u32 = 1_000;

impl Default for PageLimit {
    fn default() -> Self {
        Self(PAGE_LIMIT_DEFAULT)
    }
}

impl<'de> Deserialize<'de> for PageLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = u32::deserialize(deserializer)?;
        let in_range = (1..=PAGE_LIMIT_MAX).contains(&limit);
        if in_range { Ok(Self(limit)) } else { Err(de::Error::custom("limit must be 1 to 1000")) }
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
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read<T: de::DeserializeOwned>(value: Value) -> Result<T, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn names_of_rooms_are_bounded_and_printable() {
        for good in ["a".to_owned(), "é".repeat(128), "☕ 東京 🦀".to_owned(), "{}".to_owned(), "a:b*{17}".to_owned()]
        {
            assert_eq!(read::<RoomName>(json!(good)).unwrap().0.as_str(), good);
        }
        for bad in [String::new(), "é".repeat(129), "a".repeat(100_000), "a\nb".into(), "a\0".into(), "\u{202E}".into()]
        {
            assert!(read::<RoomName>(json!(bad)).unwrap_err().contains("a room's name must"), "{bad:?}");
        }
        assert!(read::<RoomName>(json!(7)).is_err());
    }

    #[test]
    fn names_of_agents_are_plain() {
        assert_eq!(read::<AgentName>(json!("voice-agent_1.2")).unwrap().0.as_str(), "voice-agent_1.2");
        for bad in ["", "a b", "{a}", "é", "a/b"] {
            assert!(read::<AgentName>(json!(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_and_texts_have_limits() {
        assert_eq!(read::<TtlSeconds>(json!(1)), Ok(TtlSeconds(1)));
        assert_eq!(read::<TtlSeconds>(json!(86_400)), Ok(TtlSeconds(86_400)));
        assert_eq!(read::<TtlSeconds>(json!(60.0)), Ok(TtlSeconds(60)));
        for bad in
            [json!(0), json!(86_401), json!(-1), json!(1.5), json!(1e300), json!(u64::MAX), json!("60"), json!(true)]
        {
            assert!(read::<TtlSeconds>(bad.clone()).is_err(), "{bad}");
        }
        for bad in ["1.5", "\"60\"", "true", "[]", "{}", "-1", "99999999999999999999"] {
            let error = serde_json::from_str::<TtlSeconds>(bad).unwrap_err();
            assert_eq!(error.classify(), serde_json::error::Category::Data, "{bad}: {error}");
            assert!(error.to_string().contains("1 to 86400"), "{error}");
        }
        assert!(read::<Metadata>(json!("x".repeat(METADATA_BYTES_MAX))).is_ok());
        assert!(read::<Metadata>(json!("x".repeat(METADATA_BYTES_MAX + 1))).is_err());
    }

    #[test]
    fn words_are_those_of_the_domain() {
        for state in State::ALL {
            assert_eq!(read::<StateName>(json!(state.as_str())), Ok(StateName(state)));
        }
        assert!(read::<StateName>(json!("Active")).is_err());
        for session in [SessionState::Open, SessionState::Busy, SessionState::Closed] {
            assert_eq!(read::<Session>(json!(session.as_str())), Ok(Session(session)));
        }
        assert!(read::<Session>(json!("")).is_err());
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(serde_json::to_value(Timestamp(1_700_000_000_007)).unwrap(), "2023-11-14T22:13:20.007Z");
        assert!(serde_json::to_value(Timestamp(u64::MAX)).is_err());
    }
}
