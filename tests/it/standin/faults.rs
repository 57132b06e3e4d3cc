//! Faults to order, per method: slow, refusing, talking nonsense, or acting without saying so.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::method::Method;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Acts and answers only after this time.
    Slow(Duration),
    /// Acts at once and answers after this time.
    SlowReply(Duration),
    /// Does nothing and answers with this status, and `Retry-After` in seconds where given.
    Status(u16, Option<u32>),
    /// Does nothing and answers with this status, quoting the token and the whole request.
    Echo(u16),
    /// Does nothing and answers 502 with a proxy's page.
    HtmlPage,
    /// Does nothing and answers 200 with an empty body.
    EmptyBody,
    /// Acts, then drops the connection.
    DoneButReplyLost,
    /// Drops the connection without acting.
    Unreachable,
    /// `CreateDispatch` answers 200, and there never is a job.
    LostDispatch,
}

/// A fault: what goes wrong, how often, and where.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    trouble: Trouble,
    times_left: Option<u32>,
    room: Option<String>,
}

impl Fault {
    /// Whatever `trouble` says, for ever and in every room.
    pub(crate) fn new(trouble: Trouble) -> Self {
        Self { trouble, times_left: None, room: None }
    }

    /// Acts and answers only after `duration`.
    pub(crate) fn slow(duration: Duration) -> Self {
        Self::new(Trouble::Slow(duration))
    }

    /// Acts at once, answers after `duration`.
    pub(crate) fn slow_reply(duration: Duration) -> Self {
        Self::new(Trouble::SlowReply(duration))
    }

    /// Answers with `status`, without acting.
    pub(crate) fn status(status: u16) -> Self {
        Self::new(Trouble::Status(status, None))
    }

    /// Answers 429 with `Retry-After`, without acting.
    pub(crate) fn rate_limited(retry_after_seconds: u32) -> Self {
        Self::new(Trouble::Status(429, Some(retry_after_seconds)))
    }

    /// Answers with `status` and the request's token and body, without acting.
    pub(crate) fn echo(status: u16) -> Self {
        Self::new(Trouble::Echo(status))
    }

    /// Answers 502 with a proxy's page.
    pub(crate) fn html_page() -> Self {
        Self::new(Trouble::HtmlPage)
    }

    /// Answers 200 with nothing in it.
    pub(crate) fn empty_body() -> Self {
        Self::new(Trouble::EmptyBody)
    }

    /// Acts, then drops the connection.
    pub(crate) fn done_but_reply_lost() -> Self {
        Self::new(Trouble::DoneButReplyLost)
    }

    /// Drops the connection without acting.
    pub(crate) fn unreachable() -> Self {
        Self::new(Trouble::Unreachable)
    }

    /// Answers 200, and no worker ever gets the job.
    pub(crate) fn lost_dispatch() -> Self {
        Self::new(Trouble::LostDispatch)
    }

    /// Only the next `count` calls.
    pub(crate) fn times(self, count: u32) -> Self {
        Self { times_left: Some(count), ..self }
    }

    /// Only calls about `room`.
    pub(crate) fn in_room(self, room: &str) -> Self {
        Self { room: Some(room.to_owned()), ..self }
    }
}

/// The faults in force. The first that fits a call is used up by it.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<HashMap<Method, Vec<Fault>>>);

impl Faults {
    /// Replaces the faults of `method` by this one.
    pub(crate) fn set(&self, method: Method, fault: Fault) {
        self.lock().insert(method, vec![fault]);
    }

    /// Adds a fault that comes into force when those before it are used up.
    pub(crate) fn then(&self, method: Method, fault: Fault) {
        self.lock().entry(method).or_default().push(fault);
    }

    /// No more faults of `method`.
    pub(crate) fn clear(&self, method: Method) {
        self.lock().remove(&method);
    }

    /// No more faults at all.
    pub(crate) fn clear_all(&self) {
        self.lock().clear();
    }

    /// The fault that this call meets, if any; counts it.
    pub(super) fn take(&self, method: Method, room: &str) -> Option<Trouble> {
        let mut all = self.lock();
        let faults = all.get_mut(&method)?;
        faults.retain(|fault| fault.times_left != Some(0));
        let fault = faults.iter_mut().find(|fault| fault.room.as_deref().is_none_or(|wanted| wanted == room))?;
        if let Some(left) = &mut fault.times_left {
            *left -= 1;
        }
        Some(fault.trouble.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Method, Vec<Fault>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
