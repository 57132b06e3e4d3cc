//! The protocols as models, exhausted for small sizes by `stateright`. What a model calls an action is a script
//! or a call of the provider; its header says which, so a change of the code changes the model with it.

mod breaker;
mod claim;
mod leader;
mod lease;
mod lock;
