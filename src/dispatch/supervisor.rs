//! Looking after dispatches: what a look at the provider means is judged by a script; what follows
//! is done here, under the same claim.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::field::Empty;

use super::leaving::{is_accepted, is_present};
use super::service::Core;
use super::{Dispatch, DispatchError, Place, State};
use crate::error_report::{Category, Class, Classify as _, Severity};
use crate::id::DispatchId;
use crate::policy::{Attempts, Deadline, GivenUp, Operation, RetryBudget, Verdict};
use crate::provider::{Look, ProviderDispatch, ProviderError};
use crate::store::{Due, DueKind, Judgement, Observation, Record, Refusal, StoreError};

/// What became of a dispatch that was looked at.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It goes on as it is.
    Well(Dispatch),
    /// It was made again.
    Made(Dispatch),
    /// It is gone.
    Ended,
}

impl Core {
    /// Does what is due for a dispatch. A failure is noted in the dispatch, and tried again later.
    pub(super) async fn attend(&self, due: &Due) {
        let record = &due.record;
        let done = match due.kind {
            DueKind::Create => self.make(record).await.map(|_| ()),
            DueKind::Check => self.check(record, None).await.map(|_| ()),
            DueKind::End => self.finish(record).await,
        };
        if let Err(error) = done {
            let dispatch = &record.dispatch;
            tracing::warn!(dispatch = %dispatch.id, room = %dispatch.place.room.encoded(), %error, kind = ?due.kind, "supervision failed; it is tried again");
            let what = match due.kind {
                DueKind::Create => "dispatch.create",
                DueKind::Check => "dispatch.check",
                DueKind::End => "dispatch.end",
            };
            self.tell_of_failure(what.to_owned(), error.class(), None, error.to_string());
        }
    }

    /// Looks at the provider, and does what follows. With `wanted`, a caller waits for an agent that
    /// lives: a dispatch that is made anew goes on under that id.
    pub(super) async fn check(&self, record: &Record, wanted: Option<DispatchId>) -> Result<Outcome, DispatchError> {
        let dispatch = &record.dispatch;
        // An agent that was never seen may have a job that is not in the room yet: ask for it, too.
        let (lost, began) = (CancellationToken::new(), tokio::time::Instant::now());
        let look = match self.under_claim(record, &lost, Box::pin(self.look(dispatch, true))).await {
            Ok(look) => look,
            Err(error) => return self.give_up(record, error, false).await.map(Outcome::Well),
        };
        let ours = look.dispatches.iter().flatten().find(|found| Some(&found.id) == dispatch.provider_id.as_ref());
        let seen = Observation {
            looked_at_ms: record.now_ms,
            took: began.elapsed(),
            room_exists: look.room_exists,
            agent_here: ours.is_some_and(|ours| is_present(ours, &look)),
            job_listed: ours.is_some_and(is_accepted),
            people: &look.people,
            wanted_id: wanted,
        };
        let (judgement, mut judged) =
            match self.store.observe(&dispatch.place, dispatch.token, &seen, &self.settings.observe_rules()).await {
                Ok(judged) => judged,
                // Somebody has taken it over in the meantime; theirs to go on with.
                Err(StoreError::Refused(Refusal::NotOwner)) => return Err(self.claim_lost()),
                Err(error) => return Err(error.into()),
            };
        judged.once.clone_from(&record.once);
        let record = judged;
        match judgement {
            Judgement::Well => {
                if let Some(ours) = ours.filter(|_| !self.settings.observe_only) {
                    self.show_out_strangers(&record.dispatch, ours, &look).await;
                }
                Ok(Outcome::Well(record.dispatch))
            }
            Judgement::Redispatch => {
                self.metrics.redispatched(known_reason(&record.dispatch.reason));
                tell_of_redispatch(&record.dispatch, self.settings.quick_tries);
                Box::pin(self.make(&record)).await.map(Outcome::Made)
            }
            Judgement::End => Box::pin(self.finish(&record)).await.map(|()| Outcome::Ended),
        }
    }

    /// Removes what serves the place beside ours: a dispatch that came to pass after its maker was lost,
    /// and an agent that joined although its dispatch was deleted (LiveKit lets it, where the job was not
    /// listed yet). What fails here is met again at the next look.
    async fn show_out_strangers(&self, dispatch: &Dispatch, ours: &ProviderDispatch, look: &Look) {
        let place = &dispatch.place;
        let same_agent = look.dispatches.iter().flatten().filter(|found| found.agent == ours.agent);
        for other in same_agent.filter(|found| found.id != ours.id) {
            let removed = self.remove(place, &other.id).await;
            tracing::warn!(line.kept = Empty, room = %place.room.encoded(), provider_id = other.id, removed = removed.is_ok(), "a second dispatch was in the room");
        }
        let named = look.agents.iter().filter(|agent| agent.name.as_deref() == Some(&ours.agent));
        // Where ours is not known by its identity yet, it may be any of them.
        for other in named.filter(|agent| is_accepted(ours) && !ours.job_identities.contains(&agent.identity)) {
            let removed = self.remove_agent(dispatch, &other.identity).await;
            tracing::warn!(line.kept = Empty, room = %place.room.encoded(), removed = removed.is_ok(), "a second agent was in the room");
        }
    }

    /// Deletes at the provider whatever there is for the place, then forgets the dispatch.
    pub(super) async fn finish(&self, record: &Record) -> Result<(), DispatchError> {
        let lost = CancellationToken::new();
        let deleted = self.under_claim(record, &lost, Box::pin(self.delete_all(record, &lost))).await;
        let dispatch = &record.dispatch;
        match deleted {
            Ok(()) => {}
            Err(Failure::Lost) => return Err(self.claim_lost()),
            Err(Failure::Store(error)) => return Err(error.into()),
            Err(Failure::Provider(error)) => {
                self.metrics.cleaned_up(false);
                return self.give_up(record, error, true).await;
            }
        }
        match self.store.ended(&dispatch.place, dispatch.token).await {
            Ok(()) => {
                self.count_no_longer(record).await;
                self.metrics.cleaned_up(true);
                let lived_ms = record.now_ms.saturating_sub(dispatch.created_at_ms);
                self.metrics.dispatch_ended(known_reason(&dispatch.reason), Duration::from_millis(lived_ms));
                tracing::info!(line.kept = Empty, dispatch = %dispatch.id, room = %dispatch.place.room.encoded(), reason = dispatch.reason, "dispatch ended");
                Ok(())
            }
            Err(StoreError::Refused(Refusal::NotOwner)) => Err(self.claim_lost()),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete_all(&self, record: &Record, lost: &CancellationToken) -> Result<(), Failure> {
        let (dispatch, place) = (&record.dispatch, &record.dispatch.place);
        let look = self.look(dispatch, true).await?;
        for found in look.dispatches.iter().flatten().filter(|found| found.agent == place.agent.as_str()) {
            self.remove(place, &found.id).await?;
        }
        self.wait_until_gone(dispatch, &look, lost).await
    }

    /// Marks a dispatch of the provider dead, then deletes it there; leaves the live one alone.
    pub(super) async fn remove(&self, place: &Place, provider_id: &str) -> Result<(), Failure> {
        // A tombstone would keep what goes on living from being adopted.
        if !self.settings.observe_only && self.store.tombstone(place, provider_id).await? {
            self.delete(place, provider_id).await?;
        }
        Ok(())
    }

    /// Removes what was made for a claim that was lost; tries for a while, for nobody else knows of it.
    pub(super) async fn undo(&self, place: &Place, provider_id: &str) {
        // A budget of its own: nobody else would do it.
        let (retry, budget) = (self.settings.cleanup_retry(), RetryBudget::default());
        let mut attempts = Attempts::begin(retry, Deadline::after(UNDO_TIME_MAX), &budget);
        loop {
            let Err(error) = self.remove(place, provider_id).await else { return };
            let next = attempts.next(match &error {
                Failure::Provider(ProviderError::RateLimited { retry_after: Some(least) }) => Verdict::After(*least),
                Failure::Provider(ProviderError::BreakerOpen { retry_after, .. }) => Verdict::NotAsked(*retry_after),
                _ => Verdict::Again,
            });
            let outcome = next.map_or_else(GivenUp::as_str, |_| "retried");
            tracing::warn!(line.kept = Empty, room = %place.room.encoded(), provider_id, %error, outcome, "an overtaken dispatch could not be deleted yet");
            self.metrics.attempt_failed(Operation::ProviderCleanup, outcome);
            match next {
                Ok(pause) => tokio::time::sleep(pause).await,
                Err(_) => break,
            }
        }
        tracing::error!(line.kept = Empty, room = %place.room.encoded(), provider_id, "an overtaken dispatch was left at the provider");
        let class = Class { severity: Severity::Critical, ..Category::Dependency.class() };
        let message = "an overtaken dispatch was left at the provider".to_owned();
        self.tell_of_failure("dispatch.undo".to_owned(), class, None, message);
    }

    /// Gives the claim back with the provider's error, and passes the error on.
    pub(super) async fn give_up<T>(
        &self,
        record: &Record,
        error: ProviderError,
        unsure: bool,
    ) -> Result<T, DispatchError> {
        let dispatch = &record.dispatch;
        let (code, detail) = super::failure::describe(&error);
        let hold = super::failure::hold(&error, &self.settings);
        // What an open breaker refused was no try: the next one comes when it may succeed.
        let (retry_max, was_tried) = match &error {
            ProviderError::BreakerOpen { retry_after, .. } => {
                (self.settings.slow_try_interval.min(hold.max(*retry_after)), false)
            }
            _ => (self.settings.slow_try_interval, true),
        };
        match self.store.fail(&dispatch.place, dispatch.token, (&code, &detail), hold, unsure, retry_max).await {
            Ok(failed) => {
                if failed.dispatch.state == State::Failed {
                    self.count_no_longer(record).await;
                }
                if was_tried && failed.failures == FAILURES_ALERT && !self.settings.observe_only {
                    self.metrics.provider_failing();
                    tracing::error!(line.kept = Empty, alert = "provider_failing", dispatch = %dispatch.id, room = %dispatch.place.room.encoded(), %error, failures = failed.failures, "the provider fails again and again for a dispatch");
                }
            }
            Err(StoreError::Refused(_)) => {}
            Err(store) => return Err(store.into()),
        }
        Err(DispatchError::Provider { source: error, retry_after: hold })
    }
}

/// How long what was overtaken is tried to be removed.
const UNDO_TIME_MAX: Duration = Duration::from_mins(1);

/// Why a dispatch ends, or is made again.
const REASONS: [&str; 9] = [
    "ttl",
    "asked",
    "room_closed",
    "too_old",
    "join_deadline",
    "agent_gone",
    "agent_silent",
    "agent_closed",
    "returned",
];

/// How many failures in a row are worth waking somebody.
pub(super) const FAILURES_ALERT: u32 = 3;

fn tell_of_redispatch(dispatch: &Dispatch, quick_tries: u32) {
    let room = &*dispatch.place.room.encoded();
    let (reason, tries) = (dispatch.reason.as_str(), dispatch.tries);
    if tries == quick_tries + 1 {
        tracing::error!(line.kept = Empty, alert = "dispatch_degraded", dispatch = %dispatch.id, room, reason, tries, "no agent comes: is a worker of that name running? Tried on, slowly");
    } else {
        tracing::info!(line.kept = Empty, dispatch = %dispatch.id, room, reason, tries, "the agent is dispatched again");
    }
}

/// The reasons that metrics know: a bounded set, whatever stands in Redis.
fn known_reason(reason: &str) -> &'static str {
    REASONS.into_iter().find(|known| *known == reason).unwrap_or("other")
}

/// What stood in the way of a deletion.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the claim was lost")]
    Lost,
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
