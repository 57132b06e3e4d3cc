//! The scripts of alerts.

use std::time::Duration;

use redis::{FromRedisValue as _, Value};

use super::dispatch::{Fields, ms};
use super::keys::Shard;
use super::{Store, StoreError, script};
use crate::alert::{Alert, AlertRules, AlertState, Change, Counts, Judged, Reading, Rule};
use crate::idempotency::Once;

/// Alerts concern all shards, so they are where the leader is elected.
const ALERTS: Shard = Shard(0);
/// The window moves in so many steps.
const STEPS: u32 = 30;

impl Store {
    /// Adds what a replica has counted to the window of all, unless this number of its calls has; returns the sums.
    pub async fn count_for_alerts(
        &self,
        replica: &str,
        number: u64,
        new: &Counts,
        window: Duration,
    ) -> Result<Counts, StoreError> {
        let (now, number) = (self.inner.clock.argument(), number.to_string());
        let mut args = vec![now, replica.to_owned(), number, ms(window), ms(window / STEPS)];
        for (name, count) in [
            ("operations", new.operations),
            ("operation_errors", new.operation_errors),
            ("cleanups", new.cleanups),
            ("cleanup_failures", new.cleanup_failures),
            ("log_lines", new.log_lines),
            ("log_lines_dropped", new.log_lines_dropped),
            ("providers_failing", new.providers_failing),
        ] {
            args.extend([name.to_owned(), count.to_string()]);
        }
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let sums: [u64; 7] = self.call(&script::ALERT_COUNT, &[&ALERTS.alert_counts()], &args).await?;
        let [operations, operation_errors, cleanups, cleanup_failures, log_lines, log_lines_dropped, providers_failing] =
            sums;
        Ok(Counts {
            operations,
            operation_errors,
            cleanups,
            cleanup_failures,
            log_lines,
            log_lines_dropped,
            providers_failing,
        })
    }

    /// Raises and clears rules by their readings. The same call again is told the same.
    pub async fn judge_alerts(
        &self,
        term: u64,
        call: &str,
        readings: &[Reading],
        clear_after: Duration,
    ) -> Result<Vec<Judged>, StoreError> {
        let mut keys = vec![ALERTS.shard(), ALERTS.events()];
        let mut args = vec![self.inner.clock.argument(), term.to_string(), call.to_owned(), ms(clear_after)];
        for reading in readings {
            keys.push(ALERTS.alert(reading.rule));
            let numbers = [reading.value_milli, reading.threshold_milli, reading.calm_milli];
            args.push(reading.rule.as_str().to_owned());
            args.extend(numbers.map(|number| number.min(NUMBER_MAX).to_string()));
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let judged: Vec<(u8, String)> = self.call(&script::ALERT_JUDGE, &keys, &args).await?;
        let judged = judged.into_iter().zip(readings).map(|((rings, change), reading)| {
            let change = match change.as_str() {
                "raised" => Some(Change::Raised),
                "cleared" => Some(Change::Cleared),
                _ => None,
            };
            Judged { rule: reading.rule, rings: rings == 1, change }
        });
        Ok(judged.collect())
    }

    /// How these rules stand; `set` has the thresholds of those that were never judged.
    pub async fn alerts(&self, rules: &[Rule], set: &AlertRules) -> Result<Vec<Alert>, StoreError> {
        let keys: Vec<String> = rules.iter().map(|rule| ALERTS.alert(*rule)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let now = self.inner.clock.argument();
        let answer: Vec<Value> = self.call(&script::ALERT_LIST, &keys, &[now.as_bytes()]).await?;
        let mut answer = answer.into_iter();
        let nonsense = || StoreError::nonsense("the rules of alerts".to_owned());
        let now_ms = answer.next().and_then(|now| u64::from_redis_value(now).ok()).ok_or_else(nonsense)?;
        let read = |(rule, value): (&Rule, Value)| {
            let fields = Fields::from_redis_value(value).map_err(|_| nonsense())?;
            Ok(parse(*rule, now_ms, &fields, set))
        };
        rules.iter().zip(answer).map(read).collect()
    }

    /// Snoozes the rule for so long from now on; none wakes it.
    pub async fn snooze_alert(
        &self,
        rule: Rule,
        length: Option<Duration>,
        by: &str,
        once: Option<&Once>,
    ) -> Result<(), StoreError> {
        let mut keys = vec![ALERTS.alert(rule), ALERTS.events()];
        keys.extend(once.map(|once| ALERTS.once(&once.record)));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let (now, length) = (self.inner.clock.argument(), ms(length.unwrap_or_default()));
        let body = once.map(|once| once.body.as_str()).unwrap_or_default();
        let args = [&now, rule.as_str(), &length, by, body];
        self.call::<(String,)>(&script::ALERT_SNOOZE, &keys, &args.map(str::as_bytes)).await.map(drop)
    }
}

/// Redis's numbers keep no more digits.
const NUMBER_MAX: u64 = 10_000_000_000_000;

fn parse(rule: Rule, now_ms: u64, fields: &Fields, set: &AlertRules) -> Alert {
    let number = |field: &str| fields.get(field).and_then(|value| value.parse::<u64>().ok());
    let state = match fields.get("state").map(String::as_str) {
        Some("raised") => AlertState::Raised,
        _ => AlertState::Ok,
    };
    Alert {
        rule,
        state,
        value_milli: number("value"),
        threshold_milli: number("threshold").unwrap_or_else(|| u64::from(set.threshold(rule)) * 1000),
        since_ms: number("since"),
        snoozed_until_ms: number("snoozed_until").filter(|until| *until > now_ms),
        raised_at_ms: number("raised_at"),
        cleared_at_ms: number("cleared_at"),
    }
}
