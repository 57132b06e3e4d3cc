//! What a replica tells about itself: logs and metrics.

pub mod log_limit;
pub mod logs;
pub mod metrics;
mod process;

pub use log_limit::LogLimit;
pub use logs::init;
pub use metrics::{AcquireOutcome, Metrics};
pub use process::open_files_max;
