//! What is done with a line, by the mark that it carries: a field without a value, which is never shown.
//!
//! ```ignore
//! tracing::info!(line.kept = Empty, dispatch = %made.id, "dispatch made");
//! ```

use tracing::Metadata;

use super::SECOND;

/// The rule of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// It goes before all others of its level.
    pub(super) kept: bool,
    /// How it is folded, if it is.
    pub(super) fold: Option<Fold>,
}

/// How many of a kind are written in each period; the others are counted and told at its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fold {
    pub(super) lines: u32,
    pub(super) period: u64,
}

/// Begins the name of every mark.
const MARK: &str = "line.";

/// What the marks mean.
const MARKS: [(&str, Rule); 4] = [
    // Tells of one room, dispatch, person or task what no other line tells, or is rare and needed.
    ("kept", Rule { kept: true, fold: None }),
    // A connection, or a service behind one, is away or back.
    ("notice", folded(1, 300)),
    // The process is short of something.
    ("minutely", folded(1, 60)),
    // A request: each has its line, until there are very many of one kind.
    ("sampled", folded(100, 10)),
];

const UNMARKED: Rule = folded(1, 10);

/// The target of what comes from the `log` crate, all of it from one callsite a level.
const FOREIGN: &str = "log";

/// The fields whose values tell kinds of a line apart. Each has few values, all of them words or numbers of ours.
pub(super) const KINDS: [&str; 6] = ["check", "code", "method", "route", "status", "what"];

const fn folded(lines: u32, seconds: u64) -> Rule {
    Rule { kept: false, fold: Some(Fold { lines, period: seconds * SECOND }) }
}

impl Rule {
    pub(super) fn of(meta: &Metadata<'_>) -> Self {
        if meta.target() == FOREIGN {
            return Self { kept: false, fold: None };
        }
        let mut marks = meta.fields().iter().filter_map(|field| field.name().strip_prefix(MARK));
        let known = marks.find_map(|mark| MARKS.iter().find(|(name, _)| *name == mark));
        known.map_or(UNMARKED, |(_, rule)| *rule)
    }
}

#[cfg(test)]
pub(super) fn is_mark(name: &str) -> bool {
    MARKS.iter().any(|(mark, _)| *mark == name)
}
