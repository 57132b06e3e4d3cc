//! Alerts: what somebody should know of, judged over all replicas.
//!
//! ```text
//! every replica ── counts since last time ──▶ lua/alert/count ──▶ the sums of the window
//! the leader ── a value for each rule ──▶ lua/alert/judge ──▶ raised, cleared: an event, a line, a metric; once
//! ```
//!
//! A rule is raised when its value is over the threshold, and cleared once it was calm (below the threshold by a
//! fifth) for a while: a value that wavers at the threshold wakes nobody twice. Who snoozes a rule hears of it when
//! the snooze is over, if it still holds then.

mod model;
mod service;
mod watch;

pub use model::{Alert, AlertError, AlertRules, AlertState, Change, Counts, Judged, Reading, Rule, Threshold};
pub use service::Alerts;
pub(crate) use watch::run;
