//! Pools: workers kept warm, each for one session at a time, and clean before the next.
//!
//! A session asks with a [`Wish`] and gets a [`Lease`]; a runner tells what it runs and hears what is to become of each
//! worker ([`sync`](Pools::sync)). What happens to a worker is decided by the scripts under `lua/pool/`, `lua/lease/`,
//! `lua/worker/` and `lua/runner/`.

mod model;
mod runner;
mod schedule;
mod service;
mod session;
mod sessions;
mod settings;
mod states;
mod status;

pub use model::{
    Affinity, Assignment, AssignmentParts, Lease, LeaseState, Pool, PoolError, PoolName, Priority, Step, Wish, Worker,
};
pub use runner::{Action, Instruction, Observed, ObservedState, Runner, Synced};
pub use schedule::{DAY_MINUTES, Day, Schedule, Scheduled, WINDOWS_MAX, Window, is_time_zone};
pub use service::{Pools, PoolsPage, WorkersPage};
pub use session::SessionRef;
pub use sessions::{Session, SessionsPage};
pub use settings::{Numbers, PoolSettings, ResetMode};
pub use states::WorkerState;
pub use status::{Plan, PoolStatus, Waits};
