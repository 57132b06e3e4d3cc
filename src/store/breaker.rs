//! The scripts of breakers.

use std::collections::HashMap;
use std::time::Duration;

use super::dispatch::Fields;
use super::keys::{Shard, shard_of_breaker};
use super::{Store, StoreError, script};
use crate::breaker::{Answer, Breaker, Counts, Forced, Rules, Run, State, Transition, Verdict, sorted, window};
use crate::idempotency::Once;
use crate::name::Name;

/// Which breaker is meant, and how.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Whose.
    pub tenant: &'a Name,
    /// Its name.
    pub name: &'a Name,
    /// The rules that it is to have.
    pub rules: Wanted<'a>,
    /// The request, where it is to be done once.
    pub once: Option<&'a Once>,
}

/// The rules that a breaker is to have.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// Its own; it is not made where it is not there.
    Own,
    /// Its own; it is made with these where it is not there.
    OwnOr(&'a Rules),
    /// These, from now on; it is made where it is not there.
    These(&'a Rules),
}

/// How calls ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report<'a> {
    /// The generation that they were permitted in.
    pub generation: u64,
    /// The permit of a probe.
    pub permit: Option<&'a str>,
    /// How they ended, in their order.
    pub runs: &'a [Run],
    /// How long the call took, where it is not said yet whether that is slow.
    pub took: Option<Duration>,
    /// How much shorter the breaker is open than it might be, in thousandths.
    pub jitter: u32,
    /// Who reports, with a number that grows with each report: what is sent twice counts once.
    pub said_by: Option<(&'a str, u64)>,
    /// Calls that were refused without asking.
    pub refused: u64,
}

type Told = (String, u64, String, String, u64, String, u64);

impl Store {
    /// Asks whether a call may be made; `permit` is a new id, for a probe. A breaker is made only where the tenant has
    /// fewer than `most` in its shard.
    pub async fn breaker_permit(&self, asked: Asked<'_>, permit: &str, most: u32) -> Result<Answer, StoreError> {
        let args = [permit.to_owned(), most.to_string()];
        answer(self.call_breaker(&script::BREAKER_PERMIT, asked, &args).await?)
            .inspect(|it| self.see_token(it.generation))
    }

    /// Takes in how calls ended.
    pub async fn breaker_report(&self, asked: Asked<'_>, report: &Report<'_>) -> Result<Answer, StoreError> {
        let (reporter, number) = report.said_by.unwrap_or_default();
        let args = [
            report.generation.to_string(),
            report.permit.unwrap_or_default().to_owned(),
            report.runs.iter().map(Run::to_string).collect(),
            report.took.map(|took| took.as_millis().to_string()).unwrap_or_default(),
            report.jitter.to_string(),
            reporter.to_owned(),
            number.to_string(),
            report.refused.to_string(),
        ];
        answer(self.call_breaker(&script::BREAKER_REPORT, asked, &args).await?)
            .inspect(|it| self.see_token(it.generation))
    }

    /// Holds a breaker in a state, for so long or until it is let go; `None` lets it go.
    pub async fn force_breaker(
        &self,
        asked: Asked<'_>,
        forced: Option<Forced>,
        lasts: Option<Duration>,
        note: &str,
    ) -> Result<Breaker, StoreError> {
        let lasts = lasts.map(|lasts| lasts.as_millis().to_string()).unwrap_or_default();
        let args = [forced.map_or("auto", Forced::as_str).to_owned(), lasts, note.to_owned()];
        let (now_ms, fields) = self.call_breaker(&script::BREAKER_FORCE, asked, &args).await?;
        parse(asked.name, now_ms, &fields)
    }

    /// Closes a breaker as if it were new.
    pub async fn reset_breaker(&self, asked: Asked<'_>) -> Result<Breaker, StoreError> {
        let (now_ms, fields) = self.call_breaker(&script::BREAKER_RESET, asked, &[]).await?;
        parse(asked.name, now_ms, &fields)
    }

    /// One breaker, if there is such a one.
    pub async fn breaker(&self, tenant: &Name, name: &Name) -> Result<Option<Breaker>, StoreError> {
        let (now, key) = (self.inner.clock.argument(), self.breaker_shard(tenant, name).breaker(tenant, name));
        let (now_ms, fields): (u64, Fields) = self.call(&script::BREAKER_GET, &[&key], &[now.as_bytes()]).await?;
        if fields.is_empty() { Ok(None) } else { parse(name, now_ms, &fields).map(Some) }
    }

    /// Breakers of a tenant in a shard by name, after `after` (a member of the index), each with its member; none
    /// where it is forgotten.
    pub async fn page_of_breakers(
        &self,
        shard: Shard,
        tenant: &Name,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(String, Option<Breaker>)>, StoreError> {
        let lower = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let args = [self.inner.clock.argument(), shard.breakers(tenant), lower, limit.to_string()];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let (now_ms, raw): (u64, Vec<(String, Fields)>) =
            self.call(&script::BREAKER_PAGE, &[&shard.index_breakers(tenant)], &args).await?;
        raw.into_iter()
            .map(|(member, fields)| {
                if fields.is_empty() {
                    return Ok((member, None));
                }
                let name = Name::decode(&member).ok_or_else(|| StoreError::nonsense(format!("breaker {member}")))?;
                Ok((member, Some(parse(&name, now_ms, &fields)?)))
            })
            .collect()
    }

    /// The name under which hints for the breaker arrive.
    pub fn breaker_hint_name(tenant: &Name, name: &Name) -> String {
        format!("breaker:{}:{}", tenant.encoded(), name.encoded())
    }

    fn breaker_shard(&self, tenant: &Name, name: &Name) -> Shard {
        shard_of_breaker(tenant, name, self.shards())
    }

    /// Calls a script that takes time and rules, what is its own, and the digest of the request.
    async fn call_breaker<T: redis::FromRedisValue>(
        &self,
        script: &script::Script,
        Asked { tenant, name, rules, once }: Asked<'_>,
        own: &[String],
    ) -> Result<T, StoreError> {
        let shard = self.breaker_shard(tenant, name);
        let mut keys = vec![shard.breaker(tenant, name), shard.index_breakers(tenant), shard.events(), shard.shard()];
        keys.extend(once.map(|once| shard.once(&once.record)));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let now = self.inner.clock.argument();
        let rules = match rules {
            Wanted::Own => String::new(),
            Wanted::OwnOr(rules) => format!("new {rules}"),
            Wanted::These(rules) => rules.to_string(),
        };
        let body = once.map(|once| once.body.clone()).unwrap_or_default();
        let args = [&now, &rules].into_iter().chain(own).chain([&body]);
        let args: Vec<&[u8]> = args.map(String::as_bytes).collect();
        self.call(script, &keys, &args).await
    }
}

fn answer((verdict, generation, state, forced, wait_ms, moved, now_ms): Told) -> Result<Answer, StoreError> {
    Ok(Answer {
        verdict: Verdict::parse(&verdict).ok_or_else(|| StoreError::nonsense(format!("verdict {verdict}")))?,
        generation,
        state: State::parse(&state).ok_or_else(|| StoreError::nonsense(format!("state {state}")))?,
        forced: Forced::parse(&forced),
        wait: Duration::from_millis(wait_ms),
        moved: !moved.is_empty(),
        now_ms,
    })
}

fn parse(name: &Name, now_ms: u64, fields: &Fields) -> Result<Breaker, StoreError> {
    let text = |field: &str| fields.get(field).filter(|value| !value.is_empty()).cloned();
    let number = |field: &str| fields.get(field).and_then(|value| value.parse::<u64>().ok());
    let count = |field: &str| number(field).unwrap_or_default();
    let mut rules = Rules::default();
    for (name, value) in rules.named() {
        *value = count(name).try_into().unwrap_or(u32::MAX);
    }
    let state = text("state").and_then(|state| State::parse(&state));
    let buckets = numbered(fields, "bucket:").filter_map(|(_, text)| bucket(text));
    let mut history: Vec<Transition> = numbered(fields, "past:").filter_map(|(_, text)| transition(text)).collect();
    let last = count("transitions");
    let length = history.len() as u64;
    // The ring's newest is the one before the next.
    history.rotate_left(usize::try_from(if length > 0 { last % length } else { 0 }).unwrap_or_default());
    history.reverse();
    let probes = fields.iter().filter(|(field, _)| field.starts_with("probe:"));
    Ok(Breaker {
        name: name.clone(),
        state: state.ok_or_else(|| StoreError::nonsense(format!("the state of breaker {name}")))?,
        forced: text("forced").and_then(|forced| Forced::parse(&forced)),
        forced_until_ms: number("forced_until"),
        note: text("note"),
        since_ms: count("since"),
        reason: text("reason").unwrap_or_default(),
        generation: count("generation"),
        open_until_ms: number("open_until"),
        streak: count("streak"),
        window: window(buckets, now_ms, rules.window_ms),
        total: Counts { calls: count("calls"), failures: count("failures"), slow: count("slow") },
        refused: count("refused"),
        opened: count("opened"),
        probes_until_ms: sorted(probes.filter_map(|(_, until)| until.parse().ok()).filter(|until| *until > now_ms)),
        history,
        rules,
        degraded: false,
    })
}

/// The fields of that prefix, in the order of the numbers after it.
fn numbered<'a>(fields: &'a HashMap<String, String>, prefix: &str) -> impl Iterator<Item = (u64, &'a str)> + use<'a> {
    let mut found: Vec<(u64, &str)> = fields
        .iter()
        .filter_map(|(field, text)| Some((field.strip_prefix(prefix)?.parse().ok()?, text.as_str())))
        .collect();
    found.sort_unstable();
    found.into_iter()
}

fn bucket(text: &str) -> Option<(u64, Counts)> {
    let mut numbers = text.split(' ').map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    Some((next()?, Counts { calls: next()?, failures: next()?, slow: next()? }))
}

fn transition(text: &str) -> Option<Transition> {
    let mut words = text.split(' ');
    let (at, state, reason) = (words.next()?, words.next()?, words.next()?);
    Some(Transition { at_ms: at.parse().ok()?, state: State::parse(state)?, reason: reason.to_owned() })
}
