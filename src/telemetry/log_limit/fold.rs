//! Repeated lines: the first of a kind is written, the others are counted and told together.
//!
//! A kind is a place in the code and the values of the few fields that have few values (`KINDS`): never a room, an
//! id or a cause. Kinds are bounded all the same; what finds no place is not folded, and the budget still holds.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt::{Debug, Write as _};
use std::hash::{Hash as _, Hasher as _};
use std::sync::Mutex;

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::rule::{Fold, KINDS};
use super::{Fate, SECOND, locked};

/// Those who log at once seldom want the same lock.
const SHARDS: usize = 16;
/// The most kinds that are remembered in a shard.
const KINDS_MAX: usize = 64;
/// The longest text of a line that is remembered.
const TEXT_CHARS_MAX: usize = 200;

#[derive(Debug, Default)]
pub(super) struct Folds {
    shards: [Mutex<HashMap<Key, Kind>>; SHARDS],
}

type Key = (Identifier, u64);

#[derive(Debug)]
struct Kind {
    fold: Fold,
    /// The end of the period.
    until: u64,
    written: u32,
    folded: u64,
    line: Line,
}

/// What is remembered of the first line of a kind.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) text: String,
    /// Such as `check=redis`.
    pub(super) kind: Option<String>,
}

/// Lines of a kind that were counted.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) line: Line,
    pub(super) count: u64,
    pub(super) seconds: u64,
}

impl Folds {
    /// What becomes of a line; `admit` asks the budget, at most once.
    pub(super) fn fate(&self, event: &Event<'_>, fold: Fold, now: u64, admit: impl FnOnce() -> bool) -> Fate {
        let hash = hash_of(event);
        let (key, shard) = ((event.metadata().callsite(), hash), &self.shards[shard_of(hash)]);
        {
            let mut kinds = locked(shard);
            if let Some(kind) = kinds.get_mut(&key) {
                return kind.fate(now, admit);
            }
            if kinds.len() >= KINDS_MAX {
                drop(kinds);
                return Fate::by_budget(admit);
            }
        }
        // Not under the lock: a value that is formatted may log.
        let line = Line::of(event);
        let mut kinds = locked(shard);
        if kinds.len() >= KINDS_MAX && !kinds.contains_key(&key) {
            return Fate::by_budget(admit);
        }
        let new = Kind { fold, until: now + fold.period, written: 0, folded: 0, line };
        kinds.entry(key).or_insert(new).fate(now, admit)
    }

    /// Tells of the kinds whose period is over (of all, at last), where `admit` lets a line of their level in, and
    /// forgets those that did not come again.
    pub(super) fn tell(&self, now: u64, is_last: bool, admit: impl Fn(Level) -> bool, tell: impl Fn(Told)) {
        for shard in &self.shards {
            let mut due = Vec::new();
            locked(shard).retain(|_, kind| {
                if now < kind.until && !is_last {
                    return true;
                }
                if kind.folded > 0 && admit(kind.line.level) {
                    due.push(kind.told(now));
                    return true;
                }
                kind.folded > 0
            });
            due.into_iter().for_each(&tell);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).len()).sum()
    }
}

impl Kind {
    fn fate(&mut self, now: u64, admit: impl FnOnce() -> bool) -> Fate {
        // With something to tell, the period goes on until it is told.
        if now >= self.until && self.folded == 0 {
            (self.until, self.written) = (now + self.fold.period, 0);
        }
        if self.written >= self.fold.lines {
            self.folded += 1;
            return Fate::Folded;
        }
        let fate = Fate::by_budget(admit);
        self.written += u32::from(fate == Fate::Written);
        fate
    }

    /// Begins the next period. The line that tells is its first.
    fn told(&mut self, now: u64) -> Told {
        let seconds = (now + self.fold.period).saturating_sub(self.until) / SECOND;
        (self.until, self.written) = (now + self.fold.period, 1);
        Told { line: self.line.clone(), count: std::mem::take(&mut self.folded), seconds }
    }
}

impl Line {
    fn of(event: &Event<'_>) -> Self {
        let meta = event.metadata();
        let mut words = Words::default();
        event.record(&mut words);
        let kind = (!words.kind.is_empty()).then(|| cut(words.kind));
        Self { level: *meta.level(), target: meta.target(), text: cut(words.text), kind }
    }
}

fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
        text.truncate(at);
    }
    text
}

fn hash_of(event: &Event<'_>) -> u64 {
    let mut kind = KindHasher(DefaultHasher::new());
    event.metadata().callsite().hash(&mut kind.0);
    event.record(&mut kind);
    kind.0.finish()
}

fn shard_of(hash: u64) -> usize {
    usize::try_from(hash % SHARDS as u64).unwrap_or_default()
}

fn is_of_kind(field: &Field) -> bool {
    KINDS.contains(&field.name())
}

/// Hashes what tells kinds apart. Looks at words and numbers only, so that nothing is formatted.
struct KindHasher(DefaultHasher);

impl Visit for KindHasher {
    fn record_str(&mut self, field: &Field, value: &str) {
        if is_of_kind(field) {
            (field.name(), value).hash(&mut self.0);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if is_of_kind(field) {
            (field.name(), value).hash(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// The message, and what tells kinds apart, in words. A String takes everything.
#[derive(Default)]
struct Words {
    text: String,
    kind: String,
}

impl Words {
    fn record(&mut self, field: &Field, value: &dyn std::fmt::Display) {
        if is_of_kind(field) {
            let space = if self.kind.is_empty() { "" } else { " " };
            let _ = write!(self.kind, "{space}{}={value}", field.name());
        }
    }
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            let _ = write!(self.text, "{value:?}");
        }
    }
}
