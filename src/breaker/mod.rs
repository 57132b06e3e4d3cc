//! Circuit breakers that all replicas share: who is failing is left alone for a while.
//!
//! ```text
//!              too many failures, or slow calls
//!     closed ─────────────────────────────────▶ open ◀──────────┐
//!        ▲                                       │ its time is   │ a probe fails: twice the time
//!        │ enough probes succeed                 ▼ over          │
//!        └────────────────────────────────── half-open ──────────┘
//! ```
//!
//! The state is a hash in Redis, and every arrow a script under `lua/breaker/`. A *generation* grows with each arrow;
//! what is reported carries the one that its call was permitted in, and changes nothing once that is over. Half-open, a
//! few calls at a time may be made, over all replicas: *probes*, each with a permit that lapses.
//!
//! `guard` is what greenroom's own calls go through. While the breaker is closed that costs no Redis: a replica knows
//! the state as it was within the last second, and hears of transitions by a hint. It reports failures at once and
//! successes in batches, in their order. While Redis is away, `machine` goes on with the same rules, for this replica
//! alone. `service` is for others, who ask for each call.

mod guard;
mod local;
mod machine;
mod model;
mod service;

pub use guard::{Guard, Guarded, Refused};
pub use machine::Machine;
pub(crate) use machine::{sorted, window};
pub use model::*;
pub use service::{Breakers, Permit};
