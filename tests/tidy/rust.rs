//! Rules for Rust: a doc on every file, its length, its name, what it may name, and where key
//! names may stand.

use std::collections::BTreeSet;

use crate::text::{self, File};

/// The one file that knows the names of Redis keys.
pub(crate) const KEYS_FILE: &str = "src/store/keys.rs";

/// The longest file under `src`.
const LINES_MAX: usize = 400;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "misc", "shared", "v2"];

/// The parts of `src` that are the domain: types, pure rules, services.
const DOMAIN: [&str; 10] =
    ["access", "alert", "dispatch", "pool", "task", "breaker", "lock", "policy", "event", "error_report"];

const WEB: [&str; 5] = ["axum", "hyper", "hyper_util", "tower", "tower_http"];
const REDIS: [&str; 2] = ["redis", "deadpool_redis"];

/// Everything that is wrong with the file.
pub(crate) fn offences(file: &File) -> Vec<String> {
    let mut offences = Vec::new();
    let mut report = |text: String| offences.push(format!("{}: {text}", file.path));
    if !file.text.trim_start().starts_with("//! ") {
        report("begins without a `//!` doc that says what the file is for".to_owned());
    }
    let segments = file.path.trim_end_matches(".rs").split('/');
    for segment in segments.filter(|segment| EMPTY_NAMES.contains(segment)) {
        report(format!("`{segment}` names nothing; name it after what it does"));
    }
    let Some(inner) = file.path.strip_prefix("src/") else { return offences };

    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        report(format!("{lines} lines; at most {LINES_MAX}"));
    }
    let parts = text::parts(&file.text);
    let part = inner.split(['/', '.']).next().unwrap_or_default();
    // A file of unit tests may start a server of its own.
    let is_tests = inner.ends_with("/tests.rs");
    for path in named_paths(&parts.code).into_iter().filter(|_| !is_tests) {
        if let Some(reason) = forbidden(part, &path) {
            report(format!("names `{path}`: {reason}"));
        }
    }
    if file.path != KEYS_FILE && holds_key_name(&parts.strings) {
        report(format!("holds the name of a Redis key; they stand in {KEYS_FILE} only"));
    }
    offences
}

/// Why a file of that part of `src` may not name the path, if it may not.
fn forbidden(part: &str, path: &str) -> Option<&'static str> {
    let mut segments = path.split("::");
    let first = segments.next().unwrap_or_default();
    let is_web = WEB.contains(&first);
    let is_redis = REDIS.contains(&first);
    let ours = if first == "crate" { segments.next().unwrap_or_default() } else { "" };
    match part {
        _ if DOMAIN.contains(&part) && (is_web || is_redis) => {
            Some("the domain knows no transport and no store's client")
        }
        _ if DOMAIN.contains(&part) && ["http", "cli"].contains(&ours) => Some("the domain does not know who calls it"),
        "store" if is_web || ["http", "cli"].contains(&ours) => Some("the store knows no transport"),
        "provider" if is_web => Some("a provider knows no server"),
        "provider" if is_redis || ["http", "cli", "store"].contains(&ours) => {
            Some("a provider decides and keeps nothing")
        }
        "http" if is_redis => Some("the HTTP layer reaches Redis through the domain"),
        "config"
            if is_web
                || is_redis
                || (DOMAIN.contains(&ours) || ["http", "cli", "store", "provider"].contains(&ours)) =>
        {
            Some("everything knows the settings, they know nothing of it")
        }
        _ => None,
    }
}

/// Whether a string begins a key's name, as in `gr:{17}:people`; `program:x` does not.
fn holds_key_name(strings: &str) -> bool {
    let starts = |at: usize| !strings[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    strings.match_indices("gr:").any(|(at, _)| starts(at))
}

/// Every path of two segments or more that the code names, those within `use x::{…}` in full.
fn named_paths(code: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let mut rest = code;
    while let Some(at) = rest.find(|c: char| is_word(c)) {
        let word = word_at(&rest[at..]);
        let after = &rest[at + word.len()..];
        if word == "use" {
            let end = after.find(';').unwrap_or(after.len());
            expand("", &after[..end], &mut paths);
            rest = &after[end..];
            continue;
        }
        let mut path = word.to_owned();
        let mut tail = after;
        while let Some(next) = tail.strip_prefix("::").filter(|next| next.starts_with(is_word)) {
            let word = word_at(next);
            path = format!("{path}::{word}");
            tail = &next[word.len()..];
        }
        if path.contains("::") {
            paths.insert(path);
        }
        rest = tail;
    }
    paths
}

/// The paths of a `use` tree.
fn expand(prefix: &str, tree: &str, paths: &mut BTreeSet<String>) {
    let tree = tree.trim().trim_start_matches("::");
    let Some((head, inner)) = tree.split_once('{') else {
        let name = tree.split_whitespace().next().unwrap_or_default();
        paths.insert(format!("{prefix}{name}"));
        return;
    };
    let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
    let prefix = format!("{prefix}{head}");
    let (mut depth, mut start) = (0usize, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                expand(&prefix, &inner[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        expand(&prefix, &inner[start..], paths);
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word_at(text: &str) -> &str {
    text.split(|c: char| !is_word(c)).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> String {
        offences(&File { path: path.to_owned(), text: text.to_owned() }).join("\n")
    }

    /// Asserts that the sample breaks exactly one rule, and which.
    #[track_caller]
    fn bites(path: &str, text: &str, expected: &str) {
        let found = found(path, text);
        assert!(found.contains(expected) && found.lines().count() == 1, "{text} in {path} gave: {found}");
    }

    #[test]
    fn a_file_says_what_it_is_for() {
        bites("src/a.rs", "use std::fmt;\n", "begins without");
        bites("tests/it/a.rs", "/// Not the module's.\nfn f() {}\n", "begins without");
        assert_eq!(found("src/a.rs", "//! Good.\n"), "");
    }

    #[test]
    fn a_file_is_short_and_well_named() {
        assert_eq!(found("src/a.rs", &format!("//! Long.\n{}", "\n".repeat(399))), "");
        bites("src/a.rs", &format!("//! Long.\n{}", "\n".repeat(400)), "401 lines");
        bites("src/http/utils.rs", "//! Things.\n", "`utils` names nothing");
        bites("tests/common/mod.rs", "//! Things.\n", "`common` names nothing");
    }

    #[test]
    fn imports_go_one_way() {
        bites("src/dispatch/a.rs", "//! A.\nuse axum::Json;\n", "axum::Json");
        bites("src/dispatch/a.rs", "//! A.\nfn f(c: redis::aio::ConnectionLike) {}\n", "redis::aio");
        bites("src/task/a.rs", "//! A.\nuse crate::{id::X, http::{router::{self}}};\n", "crate::http::router::self");
        bites("src/pool.rs", "//! A.\nuse crate::http::router;\n", "does not know who calls");
        bites("src/store/a.rs", "//! A.\nuse crate::http::error;\n", "the store knows no transport");
        bites("src/provider/a.rs", "//! A.\nuse crate::store::Store;\n", "keeps nothing");
        bites("src/http/a.rs", "//! A.\nuse ::redis::Script;\n", "through the domain");
        bites("src/config/a.rs", "//! A.\nuse crate::dispatch::State;\n", "know nothing of it");
    }

    #[test]
    fn imports_that_go_the_right_way_are_let_be() {
        let good = "//! Says axum::Json, redis::Script.\n/// [`crate::http::x`]\nfn f() { let redis = \"axum::x\"; redis.url; }\n";
        assert_eq!(found("src/dispatch/a.rs", good), "");
        assert_eq!(
            found("src/dispatch/a.rs", "//! A.\nuse crate::{name::Name, provider::{Look}, store::Store};\n"),
            ""
        );
        assert_eq!(found("src/store/a.rs", "//! A.\nuse redis::Script;\nuse crate::dispatch::State;\n"), "");
        assert_eq!(found("src/http/a.rs", "//! A.\nuse axum::Json;\nuse crate::dispatch::{Dispatches, Which};\n"), "");
    }

    #[test]
    fn key_names_stand_in_one_file() {
        bites("src/dispatch/a.rs", "//! A.\nconst K: &str = \"gr:schema\";\n", "name of a Redis key");
        bites("src/cli/key.rs", "//! A.\nfn f() { format!(r#\"gr:{{{s}}}:x\"#); }\n", "name of a Redis key");
        assert_eq!(found("src/a.rs", "//! Says `gr:schema`.\nconst K: &str = \"program:x\";\n"), "");
        assert_eq!(found(KEYS_FILE, "//! A.\nconst K: &str = \"gr:schema\";\n"), "");
    }
}
