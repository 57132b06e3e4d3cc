//! The scripts of error reports.

use super::dispatch::{Fields, ms};
use super::keys::shard_of_tenant;
use super::{Store, StoreError, script};
use crate::error_report::{Category, Class, Group, GroupBounds, GroupId, Occurrence, Severity, Trend};
use crate::idempotency::Once;
use crate::name::Name;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// As many as `error_report/report` keeps.
const SAMPLES: usize = 3;
const MINUTES: u64 = 60;
const HOURS: u64 = 24;

impl Store {
    /// Counts so many failures in their group; returns whether it is new, and how many it has. The same call again
    /// changes nothing.
    pub async fn report_error(
        &self,
        tenant: &Name,
        occurrence: &Occurrence,
        times: u64,
        call: &str,
        bounds: GroupBounds,
        once: Option<&Once>,
    ) -> Result<(bool, u64), StoreError> {
        let shard = shard_of_tenant(tenant, self.shards());
        let Occurrence { id, operation, class, template, code, service, sample } = occurrence;
        let mut keys = vec![shard.error(tenant, id), shard.index_errors(tenant)];
        keys.extend(once.map(|once| shard.once(&once.record)));
        let (now, prefix, id, times) =
            (self.inner.clock.argument(), shard.errors(tenant), id.to_string(), times.to_string());
        let (groups_max, lifetime) = (bounds.groups_max.to_string(), ms(bounds.lifetime));
        let args: [&str; 23] = [
            &now,
            &prefix,
            &id,
            &times,
            call,
            &groups_max,
            &lifetime,
            once.map(|once| once.body.as_str()).unwrap_or_default(),
            sample,
            "operation",
            operation,
            "category",
            class.category.as_str(),
            "severity",
            class.severity.as_str(),
            "retryable",
            if class.retryable { "1" } else { "0" },
            "template",
            template,
            "code",
            code,
            "service",
            service,
        ];
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let (is_new, count): (u8, u64) = self.call(&script::ERROR_REPORT, &keys, &args.map(str::as_bytes)).await?;
        Ok((is_new == 1, count))
    }

    /// Groups of the tenant, the one seen last first, each with its place: below `below`. None where it is remembered
    /// no longer.
    pub async fn page_of_errors(
        &self,
        tenant: &Name,
        below: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, Option<Group>)>, StoreError> {
        let shard = shard_of_tenant(tenant, self.shards());
        let upper = below.map_or_else(|| "+inf".to_owned(), |below| format!("({below}"));
        let args = [self.inner.clock.argument(), shard.errors(tenant), upper, limit.to_string()];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let (now_ms, raw): (u64, Vec<(String, String, Fields)>) =
            self.call(&script::ERROR_PAGE, &[&shard.index_errors(tenant)], &args).await?;
        raw.into_iter()
            .map(|(id, place, fields)| {
                let place = place.parse().map_err(|_| StoreError::nonsense(format!("the place of {id}")))?;
                let id: GroupId = id.parse().map_err(|_| StoreError::nonsense(format!("group {id}")))?;
                Ok((place, if fields.is_empty() { None } else { Some(parse(id, now_ms, fields)?) }))
            })
            .collect()
    }

    /// The group, if there is one.
    pub async fn find_error(&self, tenant: &Name, id: &GroupId) -> Result<Option<Group>, StoreError> {
        let shard = shard_of_tenant(tenant, self.shards());
        let now = self.inner.clock.argument();
        let (now_ms, fields): (u64, Fields) =
            self.call(&script::ERROR_GET, &[&shard.error(tenant, id)], &[now.as_bytes()]).await?;
        if fields.is_empty() { Ok(None) } else { parse(id.clone(), now_ms, fields).map(Some) }
    }

    /// Forgets the group.
    pub async fn forget_error(&self, tenant: &Name, id: &GroupId) -> Result<(), StoreError> {
        let shard = shard_of_tenant(tenant, self.shards());
        let keys = [shard.error(tenant, id), shard.index_errors(tenant)];
        let id = id.to_string();
        self.call::<u8>(&script::ERROR_FORGET, &[&keys[0], &keys[1]], &[id.as_bytes()]).await.map(drop)
    }
}

fn parse(id: GroupId, now_ms: u64, mut fields: Fields) -> Result<Group, StoreError> {
    let nonsense = |field: &str| StoreError::nonsense(format!("{field} of {id}"));
    let trend = Trend {
        minutes: ring(&fields, "minute", MINUTES, now_ms / MINUTE_MS),
        hours: ring(&fields, "hour", HOURS, now_ms / HOUR_MS),
    };
    let mut samples: Vec<(u64, String)> = (0..SAMPLES)
        .filter_map(|n| {
            let kept = fields.remove(&format!("sample{n}"))?;
            let (at, sample) = kept.split_once(' ')?;
            Some((at.parse().ok()?, sample.to_owned()))
        })
        .collect();
    samples.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut text = |field: &str| fields.remove(field).unwrap_or_default();
    let category = Category::parse(&text("category")).ok_or_else(|| nonsense("category"))?;
    let severity = Severity::parse(&text("severity")).ok_or_else(|| nonsense("severity"))?;
    let class = Class { category, severity, retryable: text("retryable") == "1" };
    let mut number = |field: &str| text(field).parse::<u64>().map_err(|_| nonsense(field));
    let (count, first_seen_ms, last_seen_ms) = (number("count")?, number("first_seen")?, number("last_seen")?);
    let (operation, template, code, service) = (text("operation"), text("template"), text("code"), text("service"));
    Ok(Group { id, operation, class, template, code, service, count, first_seen_ms, last_seen_ms, trend, samples })
}

/// The counts of the last places of a ring, the oldest first.
fn ring(fields: &Fields, name: &str, length: u64, last: u64) -> Vec<u64> {
    let count_of = |at: u64| {
        let (of, count) = fields.get(&format!("{name}{}", at % length))?.split_once(':')?;
        (of.parse() == Ok(at)).then(|| count.parse().ok())?
    };
    (0..length).rev().map(|back| count_of(last.saturating_sub(back)).unwrap_or_default()).collect()
}
