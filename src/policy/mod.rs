//! How long things may take, and when they are tried again: the same for every replica, and told to whoever asks.
//!
//! ```text
//! operation  the table: every operation with its time-out and its retries
//! deadline   a request's own, handed down from where it came in
//! retry      one layer of repetitions, bounded by number, time and budget;  budget: a dependency's share of them
//! pace       time-outs that follow what calls take
//! ```

mod budget;
mod deadline;
mod operation;
mod pace;
mod retry;

pub use budget::{FLOOR, PERCENT, RetryBudget, WINDOW_SECONDS};
pub use deadline::Deadline;
pub use operation::{CLEANUP, Operation, Timeout};
pub use pace::Pace;
pub use retry::{Attempts, GivenUp, Retry, Verdict};
