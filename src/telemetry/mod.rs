//! What a replica tells about itself: logs and metrics.

pub mod logs;
pub mod metrics;
mod process;

pub use logs::init;
pub use metrics::{AcquireOutcome, Metrics};
pub use process::{dropped_lines, open_files_max};
