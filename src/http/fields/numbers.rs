//! Whole numbers of a range, each in its own type.

use std::fmt;
use std::num::NonZeroU32;

use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::access::RATE_LIMIT_MAX;

/// How long an API key opens, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct KeyLifeSeconds(pub(in crate::http) u32);

/// How many calls a second a key may make: 1 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct RateLimitPerSecond(pub(in crate::http) NonZeroU32);

/// How many things a page of a list has at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct PageLimit(pub(in crate::http) u32);

/// How long a breaker is held, in seconds: at most thirty days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct ForceSeconds(pub(in crate::http) u32);

/// A whole number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(in crate::http) struct Count(pub(in crate::http) u32);

/// 1 to 86,400 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct TtlSeconds(pub(in crate::http) u32);

/// How long a lock is held without being renewed: 1 to 3,600 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct LeaseSeconds(pub(in crate::http) u32);

/// How long a caller waits: 0 to 30 seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::http) struct WaitSeconds(pub(in crate::http) u32);

/// A fencing token. JSON's numbers are exact up to its largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct FencingToken(pub(in crate::http) u64);

/// A status of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct HttpStatus(pub(in crate::http) u16);

/// For how long an alert is snoozed, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct SnoozeSeconds(pub(in crate::http) u32);

/// The longest time to live that can be asked for: a day.
pub(in crate::http) const TTL_SECONDS_MAX: u32 = 86_400;

/// The highest status of HTTP.
pub(in crate::http) const HTTP_STATUS_MAX: u32 = 999;
/// A day of seconds: who wants it quiet for longer raises the threshold.
pub(in crate::http) const SNOOZE_SECONDS_MAX: u32 = 86_400;

/// Ten years of seconds: longer than anybody plans.
pub(in crate::http) const KEY_LIFE_SECONDS_MAX: u32 = 315_360_000;

/// The longest lease of a lock, in seconds: who needs it for longer renews it.
pub(in crate::http) const LEASE_SECONDS_MAX: u32 = 3_600;

/// The longest wait that can be asked for, in seconds: balancers cut what is silent for a minute.
pub(in crate::http) const WAIT_SECONDS_MAX: u32 = 30;

/// The largest whole number up to which every JSON reader is exact.
pub(in crate::http) const TOKEN_MAX: u64 = (1 << 53) - 1;

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

/// A day of seconds: a session that lasts for longer is renewed.
pub(in crate::http) const WORKER_LEASE_SECONDS_MAX: u32 = 86_400;
/// The most workers of a runner.
pub(in crate::http) const CAPACITY_MAX: u32 = 200;

/// How long a session has its worker without renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct WorkerLeaseSeconds(pub(in crate::http) u32);

/// How many workers a runner may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct Capacity(pub(in crate::http) u32);

whole_field!(WorkerLeaseSeconds, "ttl_seconds", 1, WORKER_LEASE_SECONDS_MAX);
/// A number that a runner tells: as large as JSON's readers keep exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct Amount(pub(in crate::http) u64);

whole_field!(Amount, "a number", 0, TOKEN_MAX);
whole_field!(Capacity, "capacity", 0, CAPACITY_MAX);
whole_field!(TtlSeconds, "ttl_seconds", 1, TTL_SECONDS_MAX);
whole_field!(LeaseSeconds, "ttl_seconds", 1, LEASE_SECONDS_MAX);
whole_field!(WaitSeconds, "wait_seconds", 0, WAIT_SECONDS_MAX);
whole_field!(FencingToken, "token", 1, TOKEN_MAX);
whole_field!(HttpStatus, "status", 1, HTTP_STATUS_MAX);
whole_field!(SnoozeSeconds, "seconds", 1, SNOOZE_SECONDS_MAX);
whole_field!(KeyLifeSeconds, "expires_in_seconds", 1, KEY_LIFE_SECONDS_MAX);

impl<'de> Deserialize<'de> for RateLimitPerSecond {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let whole = Whole { what: "rate_limit_per_second", min: 1, max: RATE_LIMIT_MAX.into() };
        let limit = u32::try_from(deserializer.deserialize_any(whole)?).ok().and_then(NonZeroU32::new);
        limit.map(Self).ok_or_else(|| de::Error::custom(whole))
    }
}

/// Thirty days of seconds.
pub(in crate::http) const FORCE_SECONDS_MAX: u32 = 2_592_000;

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
pub(in crate::http) fn whole(number: f64) -> Option<i64> {
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
