//! Making a dispatch at the provider, under a claim: adopt or create, then commit.
//!
//! ```text
//! claim ── room ── look ──┬── adopt one that lives ── commit ─┬─ done
//!                         │                                   └─ tombstoned: it goes, too
//!                         └── tombstone and delete the rest ── wait until their agents are gone
//!                                   └── create ── commit ─┬─ done
//!                                                         └─ refused: tombstone, delete what was made
//! ```
//!
//! The create call is not idempotent and its reply can be lost, so every try begins with a look:
//! what an earlier try (or a maker that was lost) made carries our id, and is adopted. The same
//! path makes a dispatch for the first time, makes it again after its agent was lost, and finishes
//! what a killed replica began.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;

use super::leaving::{is_accepted, is_present};
use super::service::Core;
use super::settings::room_timeouts;
use super::supervisor::FAILURES_ALERT;
use super::{Dispatch, DispatchError, failure};
use crate::policy::{Attempts, Deadline, GivenUp, Operation};
use crate::provider::{ATTRIBUTE_ID, ATTRIBUTE_TOKEN, ATTRIBUTE_URL, Look, ProviderDispatch, ProviderError};
use crate::store::{Commit, Record, Refusal, StoreError};

/// Why a try did not end in a commit.
#[derive(Debug)]
pub(super) enum TryError {
    /// The claim is another's now. What was made under it is to be undone.
    Lost {
        made: Option<String>,
    },
    /// Somebody who ended the dispatch before this one found what we made, and deletes it.
    Overtaken {
        made: String,
    },
    Provider(ProviderError),
    Store(StoreError),
}

impl From<ProviderError> for TryError {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

impl From<StoreError> for TryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(Refusal::NotOwner) => Self::Lost { made: None },
            other => Self::Store(other),
        }
    }
}

/// One claim to make a dispatch.
struct Making<'a> {
    core: &'a Core,
    record: &'a Record,
    lost: &'a CancellationToken,
    metadata: String,
    began: Instant,
    /// Whether only what is there already is wanted: then nothing is made.
    adopts_only: bool,
    /// Set once the provider was told to create: from then on it may have done so.
    asked: AtomicBool,
}

impl Core {
    /// Makes the claimed dispatch; keeps the claim meanwhile, and gives it back with the outcome.
    pub(super) async fn make(&self, record: &Record) -> Result<Dispatch, DispatchError> {
        let lost = CancellationToken::new();
        self.under_claim(record, &lost, Box::pin(self.make_in_tries(record, &lost))).await
    }

    async fn make_in_tries(&self, record: &Record, lost: &CancellationToken) -> Result<Dispatch, DispatchError> {
        let place = &record.dispatch.place;
        let deadline = Deadline::after(self.settings.creation_budget);
        let metadata = self.store.metadata(place).await?;
        let (began, asked) = (Instant::now(), AtomicBool::new(false));
        let making = Making { core: self, record, lost, metadata, began, adopts_only: false, asked };
        let mut attempts = Attempts::begin(self.settings.creation_retry(), deadline, &self.retry_budget);
        let mut tries = 0;
        let error = loop {
            let error = match tokio::time::timeout_at(deadline.at(), Box::pin(making.try_once())).await {
                Ok(Ok(made)) => {
                    let provider_id = made.provider_id.as_deref().unwrap_or_default();
                    tracing::info!(line.kept = Empty, dispatch = %made.id, room = %place.room.encoded(), agent = %place.agent, provider_id, reason = made.reason, "dispatch made");
                    return Ok(made);
                }
                // Undone outside the budget: nobody else knows of it.
                Ok(Err(TryError::Lost { made })) => {
                    if let Some(made) = made {
                        self.undo(place, &made).await;
                    }
                    return Err(self.claim_lost());
                }
                Ok(Err(TryError::Overtaken { made })) => {
                    self.undo(place, &made).await;
                    ProviderError::Unavailable { detail: "what was made was deleted by another replica".to_owned() }
                }
                Ok(Err(TryError::Store(error))) => return Err(error.into()),
                Ok(Err(TryError::Provider(error))) => error,
                Err(_) => {
                    self.metrics.timed_out("creation");
                    break ProviderError::Timeout;
                }
            };
            let next = attempts.next(failure::verdict(&error));
            let outcome = next.map_or_else(GivenUp::as_str, |_| "retried");
            tracing::warn!(line.kept = Empty, dispatch = %record.dispatch.id, room = %place.room.encoded(), %error, outcome, "dispatch creation failed at the provider");
            self.metrics.attempt_failed(Operation::DispatchCreation, outcome);
            tries += 1;
            if tries == FAILURES_ALERT && !self.settings.observe_only {
                self.metrics.provider_failing();
            }
            match next {
                Ok(pause) if !lost.is_cancelled() => tokio::time::sleep(pause).await,
                _ => break error,
            }
        };
        let asked = making.asked.load(Ordering::SeqCst);
        if lost.is_cancelled() && asked {
            making.remove_own().await;
        }
        self.give_up(record, error, asked).await
    }

    /// Takes a dispatch that the provider has for ours, under the claim; `None` where none of them may be.
    pub(super) async fn adopt(&self, record: &Record) -> Result<Option<Dispatch>, DispatchError> {
        let lost = CancellationToken::new();
        let (began, asked, metadata) = (Instant::now(), AtomicBool::new(false), String::new());
        let making = Making { core: self, record, lost: &lost, metadata, began, adopts_only: true, asked };
        let adopting = async {
            let look = self.look(&record.dispatch, true).await?;
            making.settle_those_there(&look).await
        };
        match self.under_claim(record, &lost, Box::pin(adopting)).await {
            Ok(Some(adopted)) => Ok(Some(adopted)),
            // The claim is given back without holding an error: who asks now is not kept waiting.
            Ok(None) => self.let_go(record, "nothing_to_adopt").await.map(|()| None),
            Err(TryError::Provider(error)) => self.let_go(record, error.kind()).await.map(|()| None),
            Err(TryError::Store(error)) => Err(error.into()),
            Err(TryError::Lost { .. } | TryError::Overtaken { .. }) => Ok(None),
        }
    }

    async fn let_go(&self, record: &Record, why: &str) -> Result<(), DispatchError> {
        let dispatch = &record.dispatch;
        let retry_max = self.settings.slow_try_interval;
        let failed = self.store.fail(&dispatch.place, dispatch.token, (why, ""), Duration::ZERO, false, retry_max);
        match failed.await {
            Ok(_) | Err(StoreError::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Does the work while the claim is renewed.
    pub(super) async fn under_claim<T>(
        &self,
        record: &Record,
        lost: &CancellationToken,
        work: impl Future<Output = T>,
    ) -> T {
        tokio::select! {
            // What is done needs no claim any more.
            biased;
            done = work => done,
            never = self.keep_claim(record, lost) => match never {},
        }
    }

    /// Renews the claim until dropped. Once it is lost, says so and waits: the work looks at the
    /// flag where it can stop, and its commit is refused anyhow.
    async fn keep_claim(&self, record: &Record, lost: &CancellationToken) -> Infallible {
        loop {
            tokio::time::sleep(self.settings.claim / 4).await;
            let renewed = self.store.renew(&record.dispatch.place, record.dispatch.token, self.settings.claim).await;
            if let Err(StoreError::Refused(_)) = renewed {
                lost.cancel();
                return std::future::pending().await;
            }
        }
    }
}

impl Making<'_> {
    async fn try_once(&self) -> Result<Dispatch, TryError> {
        let Self { core, record, .. } = self;
        let (dispatch, place) = (&record.dispatch, &record.dispatch.place);
        let timeouts = room_timeouts(record.ttl_seconds_max);
        core.ensure_room(dispatch, timeouts).await?;
        let look = core.look(dispatch, true).await?;
        if let Some(adopted) = self.settle_those_there(&look).await? {
            return Ok(adopted);
        }
        core.wait_until_gone(dispatch, &look, self.lost).await?;
        let token = record.dispatch.token;
        // Whose claim is over must not make a second one; nor, above, show out the agent of the one who has it.
        core.store.renew(place, token, core.settings.claim).await?;
        let id = record.dispatch.id;
        let attributes = HashMap::from([
            (ATTRIBUTE_ID.to_owned(), id.to_string()),
            (ATTRIBUTE_TOKEN.to_owned(), core.mint.mint(id, token).expose_secret().to_owned()),
            (ATTRIBUTE_URL.to_owned(), core.settings.public_url.clone()),
        ]);
        self.asked.store(!core.settings.observe_only, Ordering::SeqCst);
        let created = core.create(dispatch, &self.metadata, attributes).await?;
        let made = created.id.clone();
        self.commit(&created, Some(token), false).await.map_err(|error| match error {
            TryError::Lost { .. } => TryError::Lost { made: Some(made) },
            TryError::Store(StoreError::Refused(Refusal::Tombstoned)) => TryError::Overtaken { made },
            other => other,
        })
    }

    /// After the claim was lost, with a request to create under way whose answer never came: removes
    /// what may have come of it. The live dispatch of the place is left alone.
    async fn remove_own(&self) {
        let place = &self.record.dispatch.place;
        let Ok(look) = self.core.look(&self.record.dispatch, true).await else { return };
        let token = Some(self.record.dispatch.token);
        for found in look.dispatches.iter().flatten() {
            if self.is_own(found) && self.agent_token(found) == token {
                self.core.undo(place, &found.id).await;
            }
        }
    }

    /// Adopts the best of the agent's dispatches that can be adopted, and removes all others.
    async fn settle_those_there(&self, look: &Look) -> Result<Option<Dispatch>, TryError> {
        let place = &self.record.dispatch.place;
        let mut found: Vec<&ProviderDispatch> =
            look.dispatches.iter().flatten().filter(|dispatch| dispatch.agent == place.agent.as_str()).collect();
        found
            .sort_by_key(|dispatch| (!self.is_own(dispatch), !is_present(dispatch, look), dispatch.created_at_seconds));
        let mut adopted = None;
        for dispatch in found {
            if adopted.is_none() && self.may_adopt(dispatch, look) {
                let token = self.agent_token(dispatch);
                match self.commit(dispatch, token, true).await {
                    Ok(committed) => {
                        adopted = Some(committed);
                        continue;
                    }
                    // It is being deleted by somebody: help.
                    Err(TryError::Store(StoreError::Refused(Refusal::Tombstoned))) => {}
                    Err(error) => return Err(error),
                }
            }
            self.core.remove(place, &dispatch.id).await?;
        }
        Ok(adopted)
    }

    /// A dispatch of this very id: made by an earlier try, or by a maker that was lost.
    fn is_own(&self, dispatch: &ProviderDispatch) -> bool {
        let id = self.record.dispatch.id.to_string();
        dispatch.attributes.get(ATTRIBUTE_ID) == Some(&id) && self.agent_token(dispatch).is_some()
    }

    /// The fencing token that its agent was given, where it is one of ours.
    fn agent_token(&self, dispatch: &ProviderDispatch) -> Option<u64> {
        let id = dispatch.attributes.get(ATTRIBUTE_ID)?.parse().ok()?;
        self.core.mint.verify(id, dispatch.attributes.get(ATTRIBUTE_TOKEN)?)
    }

    /// Whether a dispatch that we find may be taken for ours. One whose agent sits in an empty room
    /// may be deaf, so it is not given to whoever asks now, unless the policy says so.
    fn may_adopt(&self, dispatch: &ProviderDispatch, look: &Look) -> bool {
        let settings = &self.core.settings;
        let now_seconds = (self.record.now_ms + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0)) / 1000;
        let age_seconds = now_seconds.saturating_sub(u64::try_from(dispatch.created_at_seconds).unwrap_or(0));
        let deadline = if is_accepted(dispatch) { settings.join_deadline_with_job } else { settings.join_deadline };
        let present = is_present(dispatch, look);
        let on_its_way = !present && age_seconds < deadline.as_secs();
        if settings.observe_only {
            return present || on_its_way;
        }
        let in_use = !look.people.is_empty() || self.record.return_policy == "always" || self.is_own(dispatch);
        let in_use = in_use || (self.adopts_only && self.agent_token(dispatch).is_some());
        on_its_way || (present && in_use)
    }

    async fn commit(
        &self,
        dispatch: &ProviderDispatch,
        agent_token: Option<u64>,
        adopted: bool,
    ) -> Result<Dispatch, TryError> {
        let Self { core, record, .. } = self;
        let place = &record.dispatch.place;
        // One of ours that an emptied store has forgotten keeps its id: its agent reports under it.
        let own_shard = record.dispatch.id.shard();
        let known = dispatch.attributes.get(ATTRIBUTE_ID).and_then(|id| id.parse().ok());
        let known = known.filter(|id: &crate::id::DispatchId| id.shard() == own_shard && agent_token.is_some());
        let commit = Commit {
            id: known.unwrap_or(record.dispatch.id),
            provider_id: &dispatch.id,
            agent_token: agent_token.unwrap_or_default(),
            adopted,
            join_deadline: core.settings.join_deadline,
            once: record.once.as_ref(),
        };
        let mut pause = Duration::from_millis(50);
        loop {
            match core.store.commit(place, record.dispatch.token, &commit).await {
                Ok(committed) => return Ok(committed.dispatch),
                // Whether it was carried out is unknown, and saying it again is harmless.
                Err(StoreError::Unavailable { .. }) if pause < Duration::from_secs(3) => {
                    tokio::time::sleep(core.settings.drawn(pause)).await;
                    pause *= 2;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
