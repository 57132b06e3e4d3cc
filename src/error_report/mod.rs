//! The error reporter: every failure in its category, and failures that are alike in one group.
//!
//! ```text
//! our own failures ──▶ reporter (a queue, never waited for) ──▶ folded ──┐
//! those of workers and agents ──▶ POST /v1/errors ───────────────────────┴──▶ lua/error_report/report
//! ```
//!
//! What our own code fails with has a class by `match` (`classify.rs`), so that a new error cannot be forgotten; what
//! others report has the category that they give, or one that is guessed (`guess.rs`). A group is what has the same
//! operation, category and message but for its variable parts (`template.rs`). It keeps counts over time and a few
//! samples, without secrets (`sample.rs`). A tenant has a bounded number of groups: the one that was not seen for
//! longest goes first.

mod catalogue;
mod classify;
mod guess;
mod model;
mod reporter;
mod sample;
mod service;
mod template;
mod trend;

pub use catalogue::Texts;
pub use classify::Classify;
pub use guess::{guess, statuses, words};
pub use model::*;
pub(crate) use reporter::run;
pub use reporter::{Incident, Reporter};
pub use sample::CONTEXT_MAX;
pub use service::{ErrorReports, GroupBounds};
pub use template::template;
pub use trend::{Direction, Trend};
