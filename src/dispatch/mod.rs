//! One agent per room: the domain of dispatches.
//!
//! ```text
//!             ┌───────── lost maker: made again ────────┐
//!  asked ─▶ creating ─▶ starting ─▶ active ◀──▶ idle ─▶ ending ─▶ (forgotten)
//!             │            ▲  │        │          │
//!             ▼            │  ▼        ▼          │
//!           failed         └─ made again: agent never came, gone, silent, closed, or not to be
//!                             returned to; `degraded` after the quick tries
//! ```
//!
//! Every arrow is one script under `lua/dispatch/`; whoever works outside Redis holds a claim, with
//! a token that only grows and a deadline that is renewed while the work goes on. `service` answers
//! callers, `asking` those who want an agent, `admission` says whether one may be made, `maker` makes, `supervisor` looks after and ends; `reconciler` finds again what Redis has forgotten; `background` calls the supervisor for
//! what is due.

mod admission;
mod asking;
mod calls;
mod failure;
mod leaving;
mod listing;
mod maker;
mod model;
mod provider_room;
mod reconciler;
mod service;
mod settings;
mod supervisor;
mod token;
mod waiting;

pub use admission::agent_status;
pub use model::*;
pub use provider_room::{PROVIDER_ROOM_CHARS_MAX, room_of};
pub use reconciler::Reconciled;
pub use service::{Core, Dispatches, explain};
pub use settings::{Settings, room_timeouts};
pub use token::TokenMint;
