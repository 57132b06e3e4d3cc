//! A breaker as callers see it.

use serde::Serialize;
use utoipa::ToSchema;

use super::rules::RulesView;
use crate::breaker::{Breaker, Counts, Forced, State, Transition};
use crate::http::fields::{BreakerName, Timestamp};

/// A breaker.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Breaker)]
pub(in crate::http) struct BreakerView {
    #[schema(value_type = BreakerName)]
    name: String,
    state: BreakerState,
    /// The state that somebody holds it in; null where nobody does.
    #[schema(required)]
    forced: Option<ForcedState>,
    /// Until when; null where until it is let go.
    #[schema(required)]
    forced_until: Option<Timestamp>,
    /// Why it is held, in the words of who did it.
    #[schema(required)]
    note: Option<String>,
    /// Since when it is in this state.
    since: Timestamp,
    /// Why, in a word.
    reason: String,
    /// Grows with each change of state; a report carries that of its permit.
    generation: u64,
    /// When it lets probes through; null where it is not open, or held.
    #[schema(required)]
    open_until: Option<Timestamp>,
    rules: RulesView,
    statistics: Statistics,
    /// When the permits of the probes under way lapse.
    probes_until: Vec<Timestamp>,
    /// The last 20 changes of state, newest first.
    history: Vec<Change>,
    /// Whether this is what the answering replica goes by, alone, while Redis is away. Greenroom's own only.
    degraded: bool,
}

/// `closed`: calls may be made; `open`: none may; `half_open`: some may, as probes.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}

/// `open`: no call may be made; `closed`: all may; `disabled`: the breaker is out of use, and calls are counted.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum ForcedState {
    Open,
    Closed,
    Disabled,
}

/// What was counted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BreakerStatistics)]
struct Statistics {
    /// Failures in a row.
    failures_in_a_row: u64,
    /// In the window that the rules name.
    window: CountsView,
    /// Since it was made or reset.
    total: CountsView,
    /// Calls that were not let through.
    refused: u64,
    /// How often it has opened.
    opened: u64,
}

/// Counts of calls that were reported.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BreakerCounts)]
struct CountsView {
    calls: u64,
    failures: u64,
    slow: u64,
}

/// A change of state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BreakerChange)]
struct Change {
    at: Timestamp,
    state: BreakerState,
    reason: String,
}

impl From<State> for BreakerState {
    fn from(state: State) -> Self {
        match state {
            State::Closed => Self::Closed,
            State::Open => Self::Open,
            State::HalfOpen => Self::HalfOpen,
        }
    }
}

impl From<Forced> for ForcedState {
    fn from(forced: Forced) -> Self {
        match forced {
            Forced::Open => Self::Open,
            Forced::Closed => Self::Closed,
            Forced::Disabled => Self::Disabled,
        }
    }
}

impl From<Counts> for CountsView {
    fn from(Counts { calls, failures, slow }: Counts) -> Self {
        Self { calls, failures, slow }
    }
}

impl From<Transition> for Change {
    fn from(Transition { at_ms, state, reason }: Transition) -> Self {
        Self { at: Timestamp(at_ms), state: state.into(), reason }
    }
}

impl From<Breaker> for BreakerView {
    fn from(breaker: Breaker) -> Self {
        let statistics = Statistics {
            failures_in_a_row: breaker.streak,
            window: breaker.window.into(),
            total: breaker.total.into(),
            refused: breaker.refused,
            opened: breaker.opened,
        };
        Self {
            name: breaker.name.as_str().to_owned(),
            state: breaker.state.into(),
            forced: breaker.forced.map(ForcedState::from),
            forced_until: breaker.forced_until_ms.map(Timestamp),
            note: breaker.note,
            since: Timestamp(breaker.since_ms),
            reason: breaker.reason,
            generation: breaker.generation,
            open_until: breaker.open_until_ms.map(Timestamp),
            rules: breaker.rules.into(),
            statistics,
            probes_until: breaker.probes_until_ms.into_iter().map(Timestamp).collect(),
            history: breaker.history.into_iter().map(Change::from).collect(),
            degraded: breaker.degraded,
        }
    }
}
