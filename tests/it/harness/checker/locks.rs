//! What holds of locks: one holder at a time, tokens that grow, nothing for who was overtaken.

use std::collections::HashMap;

use super::{Record, Violation};
use crate::harness::history::{Act, Outcome, Use};
use crate::harness::users::LEASE;

pub(super) fn violations(record: &Record) -> Vec<Violation> {
    let uses = record.history.uses.all();
    let mut by_name: HashMap<&str, Vec<&Use>> = HashMap::new();
    for used in uses.iter().filter(|used| used.act.is_of_locks()) {
        by_name.entry(used.name).or_default().push(used);
    }
    by_name.values().flat_map(|uses| of_one(record, uses)).collect()
}

/// A grant or a renewal that was told.
struct Told<'a> {
    used: &'a Use,
    token: u64,
    owner: &'a str,
    /// By Redis's clock, as texts that sort.
    since: &'a str,
    until: &'a str,
}

fn told(used: &Use) -> Option<Told<'_>> {
    let body = used.answer().filter(|_| used.act != Act::ReleaseLock)?;
    let (token, owner) = (body["token"].as_u64()?, used.body["owner"].as_str()?);
    Some(Told { used, token, owner, since: body["held_since"].as_str()?, until: body["expires_at"].as_str()? })
}

fn of_one(record: &Record, uses: &[&Use]) -> Vec<Violation> {
    let told: Vec<Told<'_>> = uses.iter().filter_map(|used| told(used)).collect();
    let mut found = two_at_once(record, uses, &told);
    for (a, b) in told.iter().flat_map(|a| told.iter().map(move |b| (a, b))) {
        // Whatever Redis forgot: what it gave later, by its own clock, has a higher token.
        if a.token == b.token && a.owner != b.owner {
            found.push(b.used.breaks("a token of a lock is one owner's", format!("{} has it as well", a.owner)));
        } else if a.since < b.since && a.token >= b.token {
            let what = format!("{} since {} after {} since {}", b.token, b.since, a.token, a.since);
            found.push(b.used.breaks("the tokens of a lock only grow", what));
        }
        let is_stale = a.used.returned < b.used.invoked && b.token < a.token;
        if is_stale && !record.may_have_lost(a.used.invoked, b.used.returned) {
            let what = format!("{} after {} was given {}", b.owner, a.owner, a.token);
            found.push(b.used.breaks("who was overtaken is not served", what));
        }
    }
    found.extend(
        uses.iter()
            .filter(|used| is_refused_while_held(record, &told, used))
            .map(|used| used.breaks("whose lease runs keeps the lock", "it was refused".to_owned())),
    );
    found
}

/// By Redis's clock the next holder comes after the lease of the one before, unless that gave the lock back: whatever
/// was answered, a release that was asked for may have come to pass.
fn two_at_once(record: &Record, uses: &[&Use], told: &[Told<'_>]) -> Vec<Violation> {
    let mut found = Vec::new();
    for after in told {
        let Some(before) = told.iter().filter(|one| one.token < after.token).max_by_key(|one| (one.token, one.until))
        else {
            continue;
        };
        let released = uses.iter().any(|used| {
            used.act == Act::ReleaseLock && used.body["token"] == before.token && used.invoked < after.used.returned
        });
        // A renewal may be told after the next holder was.
        if !released && before.until > after.since && !record.may_have_lost(before.used.invoked, after.used.returned) {
            let what = format!("since {}, and {} had it until {}", after.since, before.owner, before.until);
            found.push(after.used.breaks("a lock has one holder at a time", what));
        }
    }
    found
}

fn is_refused_while_held(record: &Record, told: &[Told<'_>], used: &Use) -> bool {
    let Outcome::Fail { status: 409, .. } = used.outcome else { return false };
    let (token, is_own) = (&used.body["token"], |one: &&Told<'_>| used.body["token"] == one.token);
    if used.act == Act::AcquireLock || token.is_null() {
        return false;
    }
    // Redis took it no sooner than it was asked for, so the lease runs for at least so long.
    let own = told.iter().filter(is_own).filter(|one| one.used.returned < used.invoked);
    let Some(last) = own.max_by_key(|one| one.used.invoked) else { return false };
    used.returned < last.used.invoked + LEASE && !record.may_have_lost(last.used.invoked, used.returned)
}
