//! A dispatch as its hash has it, parsed once.

use std::collections::HashMap;

use redis::Value;

use super::StoreError;
use super::keys::parse_place;
use crate::dispatch::{Dispatch, Place, State};
use crate::idempotency::Once;

/// A dispatch with what only its makers need to know.
#[derive(Debug, Clone)]
pub struct Record {
    /// The dispatch.
    pub dispatch: Dispatch,
    /// Redis's time when it was read, in milliseconds since 1970.
    pub now_ms: u64,
    /// When the claim on it lapses, in milliseconds since 1970, if it is claimed.
    pub claim_until_ms: Option<u64>,
    /// The error that is held, as code and detail.
    pub error: Option<(String, String)>,
    /// Until when the error is held, in milliseconds since 1970.
    pub hold_until_ms: Option<u64>,
    /// How often in a row the provider failed for it.
    pub failures: u32,
    /// What its agent's policy for the return to an empty room is.
    pub return_policy: String,
    /// The request that asked for it, where that is to be done once. Not in Redis.
    pub once: Option<Once>,
    /// The longest time to live that it may come to have, in seconds.
    pub ttl_seconds_max: u32,
}

impl Record {
    /// The answer of `dispatch/reuse`: values in the order of its fields. What only makers need to know is not among
    /// them.
    pub(super) fn parse_reused(place: &Place, now_ms: u64, people: u64, answer: Value) -> Result<Self, StoreError> {
        let nonsense = || StoreError::nonsense("an answer of reuse of another form".to_owned());
        let Value::Array(values) = answer else { return Err(nonsense()) };
        let mut values = values.into_iter().map(|value| match value {
            Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
            _ => None,
        });
        let mut text = || values.next().flatten();
        let (id, state, reason, provider, provider_id) = (text(), text(), text(), text(), text());
        let mut number = || text().and_then(|value| value.parse::<u64>().ok());
        let token = number().ok_or_else(nonsense)?;
        let (created_at, last_activity_at, seen_alive_at) = (number(), number(), number());
        let reported = values.next().flatten();
        let mut number = || values.next().flatten().and_then(|value| value.parse::<u64>().ok());
        let (ttl_expires_at_ms, ttl_seconds, ends_at_ms, tries) = (number(), number(), number(), number());
        let small = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
        Ok(Self {
            dispatch: Dispatch {
                id: id.and_then(|id| id.parse().ok()).ok_or_else(nonsense)?,
                place: place.clone(),
                state: state.and_then(|state| State::parse(&state)).ok_or_else(nonsense)?,
                provider: provider.unwrap_or_default(),
                provider_id,
                token,
                created_at_ms: created_at.unwrap_or_default(),
                last_activity_at_ms: last_activity_at.unwrap_or_default(),
                seen_alive_at_ms: seen_alive_at,
                reported,
                ttl_expires_at_ms,
                ttl_seconds: small(ttl_seconds),
                ends_at_ms,
                participant_count: people,
                tries: small(tries),
                reason: reason.unwrap_or_default(),
            },
            now_ms,
            claim_until_ms: None,
            error: None,
            hold_until_ms: None,
            failures: 0,
            return_policy: String::new(),
            once: None,
            ttl_seconds_max: small(ttl_seconds),
        })
    }

    pub(super) fn parse(
        name: &str,
        now_ms: u64,
        people: u64,
        mut fields: HashMap<String, String>,
    ) -> Result<Self, StoreError> {
        let place = parse_place(name).ok_or_else(|| StoreError::nonsense(format!("place {name}")))?;
        let mut text = |field: &str| fields.remove(field).filter(|value| !value.is_empty());
        let nonsense = |field: &str| StoreError::nonsense(format!("{field} of {name}"));
        let id = text("id").and_then(|id| id.parse().ok()).ok_or_else(|| nonsense("id"))?;
        let state = text("state").and_then(|state| State::parse(&state)).ok_or_else(|| nonsense("state"))?;
        let error = text("error").map(|code| (code, text("error_detail").unwrap_or_default()));
        let provider = text("provider").unwrap_or_default();
        let provider_id = text("provider_id");
        let reported = text("reported");
        let reason = text("reason").unwrap_or_default();
        let return_policy = text("return_policy").unwrap_or_default();
        let mut number = |field: &str| text(field).and_then(|value| value.parse::<u64>().ok());
        let mut seconds = |field: &str| number(field).and_then(|ttl| u32::try_from(ttl).ok());
        let ttl_seconds = seconds("ttl_seconds").unwrap_or_default();
        let ttl_seconds_max = seconds("ttl_seconds_max").unwrap_or(ttl_seconds);
        Ok(Self {
            dispatch: Dispatch {
                id,
                place,
                state,
                provider,
                provider_id,
                token: number("token").ok_or_else(|| nonsense("token"))?,
                created_at_ms: number("created_at").unwrap_or_default(),
                last_activity_at_ms: number("last_activity_at").unwrap_or_default(),
                // 0 stands for an agent that was there and is known to be gone.
                seen_alive_at_ms: number("seen_alive_at").filter(|&at| at > 0),
                reported,
                ttl_expires_at_ms: number("ttl_expires_at"),
                ttl_seconds,
                ends_at_ms: number("ends_at"),
                participant_count: people,
                tries: number("tries").and_then(|tries| tries.try_into().ok()).unwrap_or_default(),
                reason,
            },
            now_ms,
            claim_until_ms: number("claim_until"),
            error,
            hold_until_ms: number("hold_until"),
            failures: number("failures").and_then(|failures| failures.try_into().ok()).unwrap_or_default(),
            return_policy,
            once: None,
            ttl_seconds_max,
        })
    }
}
