//! The scripts of dispatches.

use std::collections::HashMap;
use std::time::Duration;

use super::keys::{PlaceKeys, Shard, parse_place, place_name};
use super::record::Record;
use super::rules::{AcquireRules, Commit, Judgement, Observation, ObserveRules, Verdict};
use super::script::{self, Script};
use super::{Refusal, Store, StoreError};
use crate::dispatch::{Dispatch, Place, SessionState, TtlChange};
use crate::id::DispatchId;
use crate::idempotency::Once;

/// Fields and values of a hash, as the scripts return them.
pub(super) type Fields = HashMap<String, String>;

pub(super) fn ms(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn flag(value: bool) -> String {
    String::from(if value { "1" } else { "0" })
}

/// The answer of `dispatch/touch`: now, people, the dispatch, its name.
type Touched = (u64, u64, Fields, String);

fn parse_touched((now, people, fields, name): Touched) -> Result<Record, StoreError> {
    Record::parse(&name, now, people, fields)
}

/// The key of the request's record, which comes last, where there is one.
fn once_key(keys: &PlaceKeys, once: Option<&Once>) -> impl Iterator<Item = String> {
    once.map(|once| keys.shard.once(&once.record)).into_iter()
}

impl Store {
    pub(crate) fn keys(&self, place: &Place) -> PlaceKeys {
        PlaceKeys::new(place, self.shards())
    }

    /// A new id for a dispatch of the place.
    pub fn new_id(&self, place: &Place) -> DispatchId {
        DispatchId::new(self.keys(place).shard.0)
    }

    // Calls a script with the eight keys of a place, any further ones, the time, and arguments.
    async fn call_place<T: redis::FromRedisValue>(
        &self,
        script: &Script,
        keys: &PlaceKeys,
        more: &[String],
        args: &[String],
    ) -> Result<T, StoreError> {
        let all = keys.all();
        let all: Vec<&str> = all.iter().chain(more).map(String::as_str).collect();
        let now = self.inner.clock.argument();
        let args: Vec<&[u8]> = std::iter::once(&now).chain(args).map(String::as_bytes).collect();
        self.call(script, &all, &args).await
    }

    async fn change(
        &self,
        script: &Script,
        place: &Place,
        more: &[String],
        args: &[String],
    ) -> Result<Record, StoreError> {
        let keys = self.keys(place);
        let (now, people, fields): (u64, u64, Fields) = self.call_place(script, &keys, more, args).await?;
        self.read(keys.name(), now, people, fields)
    }

    fn read(&self, name: &str, now: u64, people: u64, fields: Fields) -> Result<Record, StoreError> {
        let record = Record::parse(name, now, people, fields)?;
        self.see_token(record.dispatch.token);
        Ok(record)
    }

    async fn decide(
        &self,
        script: &Script,
        place: &Place,
        more: &[String],
        args: &[String],
    ) -> Result<(String, Record), StoreError> {
        let keys = self.keys(place);
        let (verdict, now, people, fields): (String, u64, u64, Fields) =
            self.call_place(script, &keys, more, args).await?;
        Ok((verdict, self.read(keys.name(), now, people, fields)?))
    }

    /// The place's dispatch where it plainly is one to reuse. Where it is not, [`Self::acquire`] decides.
    pub async fn reuse(&self, place: &Place, rules: &AcquireRules) -> Result<Option<Record>, StoreError> {
        let keys = self.keys(place);
        let keys = [keys.dispatch(), keys.people()];
        let args =
            [self.inner.clock.argument(), ms(rules.liveness_window), ms(rules.believed), ms(rules.join_deadline)];
        let args = args.each_ref().map(String::as_bytes);
        let answer: Option<(u64, u64, redis::Value)> =
            self.call(&script::DISPATCH_REUSE, &[&keys[0], &keys[1]], &args).await?;
        let Some((now, people, values)) = answer else { return Ok(None) };
        let record = Record::parse_reused(place, now, people, values)?;
        self.see_token(record.dispatch.token);
        Ok(Some(record))
    }

    /// Asks for the place's dispatch: reuse, wait, or make it under a claim. `None` where one would
    /// have to be made, and may not.
    pub async fn acquire(
        &self,
        place: &Place,
        metadata: &str,
        rules: &AcquireRules,
        once: Option<&Once>,
    ) -> Result<Option<(Verdict, Record)>, StoreError> {
        let seconds = |seconds: Option<u32>| seconds.map(|seconds| seconds.to_string()).unwrap_or_default();
        let args = [
            rules.id.unwrap_or_else(|| self.new_id(place)).to_string(),
            metadata.to_owned(),
            rules.ttl_seconds.to_string(),
            rules.return_policy.to_owned(),
            rules.provider.to_owned(),
            ms(rules.liveness_window),
            ms(rules.believed),
            ms(rules.join_deadline),
            ms(rules.claim),
            flag(rules.may_create),
            seconds(rules.age_seconds_max),
            seconds(rules.ttl_bounds.map(|(min, _)| min)),
            seconds(rules.ttl_bounds.map(|(_, max)| max)),
            once.map(|once| once.body.clone()).unwrap_or_default(),
            once.map(|once| once.attempt.clone()).unwrap_or_default(),
        ];
        let keys = self.keys(place);
        let more: Vec<String> = [keys.metadata()].into_iter().chain(once_key(&keys, once)).collect();
        let (verdict, now, people, fields): (String, u64, u64, Fields) =
            self.call_place(&script::DISPATCH_ACQUIRE, &keys, &more, &args).await?;
        let verdict = match verdict.as_str() {
            "absent" => return Ok(None),
            "created" => Verdict::Created,
            "reused" => Verdict::Reused,
            "wait" => Verdict::Wait,
            "verify" => Verdict::Verify,
            "create" => Verdict::Create,
            "failed" => Verdict::Failed,
            other => return Err(StoreError::nonsense(format!("verdict {other}"))),
        };
        let record = Record { once: once.cloned(), ..self.read(keys.name(), now, people, fields)? };
        Ok(Some((verdict, record)))
    }

    /// Commits the claim's work.
    pub async fn commit(&self, place: &Place, token: u64, commit: &Commit<'_>) -> Result<Record, StoreError> {
        let keys = self.keys(place);
        let more: Vec<String> =
            [keys.tombstone(commit.provider_id)].into_iter().chain(once_key(&keys, commit.once)).collect();
        let args = [
            token.to_string(),
            commit.id.to_string(),
            commit.provider_id.to_owned(),
            commit.agent_token.to_string(),
            String::from(if commit.adopted { "adopted" } else { "created" }),
            ms(commit.join_deadline),
            commit.once.map(|once| once.body.clone()).unwrap_or_default(),
        ];
        self.change(&script::DISPATCH_COMMIT, place, &more, &args).await
    }

    /// Gives the claim back with an error, which is held for a while. `unsure`: the provider may
    /// have done the work all the same.
    pub async fn fail(
        &self,
        place: &Place,
        token: u64,
        (code, detail): (&str, &str),
        hold: Duration,
        unsure: bool,
        retry_max: Duration,
    ) -> Result<Record, StoreError> {
        let args = [token.to_string(), code.to_owned(), detail.to_owned(), ms(hold), flag(unsure), ms(retry_max)];
        self.change(&script::DISPATCH_FAIL, place, &[], &args).await
    }

    /// Keeps the claim.
    pub async fn renew(&self, place: &Place, token: u64, claim: Duration) -> Result<(), StoreError> {
        let keys = self.keys(place);
        let args = [self.inner.clock.argument(), token.to_string(), ms(claim)];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let keys = [keys.dispatch(), keys.shard.due_provider()];
        self.call::<u8>(&script::DISPATCH_RENEW, &[&keys[0], &keys[1]], &args).await.map(|_| ())
    }

    /// Says what a look showed, and learns what follows.
    pub async fn observe(
        &self,
        place: &Place,
        token: u64,
        seen: &Observation<'_>,
        rules: &ObserveRules,
    ) -> Result<(Judgement, Record), StoreError> {
        let people: Vec<serde_json::Value> = seen
            .people
            .iter()
            .flat_map(|person| [person.sid.as_str().into(), person.joined_at_seconds.into()])
            .collect();
        let args = [
            token.to_string(),
            seen.looked_at_ms.to_string(),
            flag(seen.room_exists),
            flag(seen.agent_here),
            flag(seen.job_listed),
            seen.wanted_id.map(|id| id.to_string()).unwrap_or_default(),
            ms(rules.believed),
            ms(rules.join_deadline),
            ms(rules.join_deadline_with_job),
            ms(rules.check_interval),
            ms(rules.check_interval_max),
            rules.quick_tries.to_string(),
            ms(rules.slow_try_interval),
            ms(rules.claim),
            serde_json::Value::Array(people).to_string(),
            ms(seen.took),
        ];
        let left = [self.keys(place).left()];
        let (verdict, record) = self.decide(&script::DISPATCH_OBSERVE, place, &left, &args).await?;
        let judgement = match verdict.as_str() {
            "ok" => Judgement::Well,
            "redispatch" => Judgement::Redispatch,
            "end" => Judgement::End,
            other => return Err(StoreError::nonsense(format!("verdict {other}"))),
        };
        Ok((judgement, record))
    }

    /// Begins to end a dispatch. The flag tells whether the caller is to do it.
    pub async fn end(
        &self,
        place: &Place,
        id: DispatchId,
        reason: &str,
        claim: Duration,
    ) -> Result<(bool, Record), StoreError> {
        let args = [id.to_string(), reason.to_owned(), ms(claim)];
        let (verdict, record) = self.decide(&script::DISPATCH_END, place, &[], &args).await?;
        Ok((verdict == "end", record))
    }

    /// The dispatch is gone at the provider.
    pub async fn ended(&self, place: &Place, token: u64) -> Result<(), StoreError> {
        let args = [token.to_string()];
        self.call_place::<u8>(&script::DISPATCH_ENDED, &self.keys(place), &[], &args).await.map(|_| ())
    }

    /// Marks a dispatch of the provider dead before it is deleted there; false where it is the live one.
    pub async fn tombstone(&self, place: &Place, provider_id: &str) -> Result<bool, StoreError> {
        let keys = self.keys(place);
        let keys = [keys.dispatch(), keys.tombstone(provider_id)];
        let answer: String =
            self.call(&script::DISPATCH_TOMBSTONE, &[&keys[0], &keys[1]], &[provider_id.as_bytes()]).await?;
        Ok(answer == "dead")
    }

    /// An agent's report.
    pub async fn report(
        &self,
        place: &Place,
        id: DispatchId,
        agent_token: u64,
        session: SessionState,
        silent_after: Duration,
    ) -> Result<Record, StoreError> {
        let args = [id.to_string(), agent_token.to_string(), session.as_str().to_owned(), ms(silent_after)];
        self.change(&script::DISPATCH_REPORT, place, &[], &args).await
    }

    /// Somebody is interested.
    pub async fn touch(&self, place: &Place, id: DispatchId, once: Option<&Once>) -> Result<Record, StoreError> {
        self.touch_so(place, id, ("activity", String::new()), once).await
    }

    /// Arms, moves or cancels the time to live.
    pub async fn change_ttl(
        &self,
        place: &Place,
        id: DispatchId,
        change: TtlChange,
        once: Option<&Once>,
    ) -> Result<Record, StoreError> {
        let how = match change {
            TtlChange::Arm(seconds) => ("arm", seconds.to_string()),
            TtlChange::Cancel => ("cancel", String::new()),
        };
        self.touch_so(place, id, how, once).await
    }

    async fn touch_so(
        &self,
        place: &Place,
        id: DispatchId,
        (verb, ttl): (&str, String),
        once: Option<&Once>,
    ) -> Result<Record, StoreError> {
        let body = once.map(|once| once.body.clone()).unwrap_or_default();
        let more: Vec<String> = once_key(&self.keys(place), once).collect();
        let args = [id.to_string(), verb.to_owned(), ttl, body];
        parse_touched(self.call_place(&script::DISPATCH_TOUCH, &self.keys(place), &more, &args).await?)
    }

    /// What a request about the dispatch was answered before, if it was.
    pub async fn touched_before(&self, id: DispatchId, once: &Once) -> Result<Option<Record>, StoreError> {
        let key = Shard(id.shard()).once(&once.record);
        let found: Option<Touched> = self.call(&script::DISPATCH_REPLAY, &[&key], &[once.body.as_bytes()]).await?;
        found.map(parse_touched).transpose()
    }

    /// The place of an id. An id that is known to be over is refused as ended.
    pub async fn place_of(&self, id: DispatchId) -> Result<Place, StoreError> {
        if id.shard() >= self.shards() {
            return Err(Refusal::NotFound.into());
        }
        let mut cmd = redis::Cmd::new();
        cmd.arg("GET").arg(Shard(id.shard()).id(id));
        let name: Option<String> = self.command(&cmd).await?;
        match name.as_deref() {
            None => Err(Refusal::NotFound.into()),
            Some("ended") => Err(Refusal::Ended.into()),
            Some(name) => parse_place(name).ok_or_else(|| StoreError::nonsense(format!("place {name}"))),
        }
    }

    /// The metadata for the place's agent; empty where there is none.
    pub async fn metadata(&self, place: &Place) -> Result<String, StoreError> {
        let mut cmd = redis::Cmd::new();
        cmd.arg("GET").arg(self.keys(place).metadata());
        let found: Option<String> = self.command(&cmd).await?;
        Ok(found.unwrap_or_default())
    }

    /// The place's dispatch, if there is one.
    pub async fn dispatch(&self, place: &Place) -> Result<Option<Dispatch>, StoreError> {
        let keys = self.keys(place);
        let (people, fields): (u64, Fields) =
            self.call(&script::DISPATCH_GET, &[&keys.dispatch(), &keys.people()], &[]).await?;
        if fields.is_empty() {
            return Ok(None);
        }
        Ok(Some(Record::parse(keys.name(), 0, people, fields)?.dispatch))
    }

    /// The name under which hints for the place arrive.
    pub fn hint_name(place: &Place) -> String {
        place_name(place)
    }
}
