//! Rules for the scripts under `lua/`: a header that says all, a short body, no unbounded command.
//!
//! A script begins with its header (`#!lua` is put before it at load):
//! ```text
//! -- Purpose in a sentence or two.
//! -- KEYS[1] hash    gr:{shard}:dispatch:<tenant>:<room>:<agent>
//! -- ARGV[1] now ms (empty: Redis's)   ARGV[2] token of the claim
//! -- Builds: gr:{shard}:left:<tenant>:<room>
//! -- Flags: allow-oom
//! -- Returns: …
//! -- Errors: NOT_OWNER, …
//! ```

use std::collections::BTreeSet;

use crate::text::File;

/// The longest body, without header, comments and empty lines.
const BODY_LINES_MAX: usize = 75;

const KEY_TYPES: [&str; 6] = ["string", "hash", "zset", "set", "list", "stream"];

/// Commands whose time grows with what is stored, or that look into other slots.
const UNBOUNDED: [&str; 9] = ["KEYS", "SCAN", "SMEMBERS", "SSCAN", "HSCAN", "ZSCAN", "SINTER", "SUNION", "FLUSHDB"];

/// Whether the file is prepended to scripts, and no script itself.
pub(crate) fn is_shared(file: &File) -> bool {
    ["/prelude.lua", "/idempotency.lua", "/record.lua", "/habit.lua", "/shared.lua", "/rules.lua"]
        .iter()
        .chain(&[
            "/pool/states.lua",
            "/pool/save.lua",
            "/pool/keyed.lua",
            "/pool/measures.lua",
            "/pool/demand.lua",
            "/reap/brake.lua",
            "/runner/follow.lua",
        ])
        .chain(&["/pool/recovery.lua", "/pool/failure.lua"])
        .any(|shared| file.path.ends_with(shared))
}

/// Everything that is wrong with the script. `shared` is what is prepended to it.
pub(crate) fn offences(file: &File, shared: &[File]) -> Vec<String> {
    let (header, body) = split(&file.text);
    let mut found = Vec::new();
    found.extend(body_offences(&body));
    if is_shared(file) {
        if header.is_empty() {
            found.push("begins without a header that gives its purpose".to_owned());
        }
    } else {
        found.extend(header_offences(&header));
        let shared: String = shared.iter().map(|file| split(&file.text).1).collect();
        for array in ["KEYS", "ARGV"] {
            found.extend(listing_offences(array, &header, &body, &shared));
        }
        let lines = body.lines().filter(|line| !line.trim().is_empty()).count();
        if lines > BODY_LINES_MAX {
            found.push(format!("a body of {lines} lines; at most {BODY_LINES_MAX}"));
        }
    }
    found.into_iter().map(|text| format!("{}: {text}", file.path)).collect()
}

/// The header's lines without their dashes, and the rest without its comments.
fn split(text: &str) -> (Vec<&str>, String) {
    let header: Vec<_> = text.lines().map_while(|line| line.strip_prefix("--")).collect();
    let body = text.lines().skip(header.len()).map(without_comment).collect::<Vec<_>>().join("\n");
    (header.into_iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect(), body)
}

fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, '-') if line[at..].starts_with("--") => return &line[..at],
            _ => {}
        }
    }
    line
}

fn header_offences(header: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let entries = ["KEYS[", "ARGV[", "Builds:", "Flags:", "Returns:", "Errors:"];
    let is_entry = |line: &str| entries.iter().any(|entry| line.starts_with(entry));
    if header.first().is_none_or(|line| line.trim().is_empty() || is_entry(line)) {
        found.push("begins without its purpose, as a comment".to_owned());
    }
    for entry in ["Returns:", "Errors:"] {
        let says = |line: &&str| line.strip_prefix(entry).is_some_and(|text| !text.trim().is_empty());
        if !header.iter().any(says) {
            found.push(format!("the header has no `-- {entry} …` (say `none` where there is none)"));
        }
    }
    for line in header.iter().filter(|line| line.starts_with("KEYS[")) {
        let mut words = line.split_whitespace().skip(1);
        let kind = words.next().unwrap_or_default();
        if !KEY_TYPES.contains(&kind) || !words.next().is_some_and(|pattern| pattern.starts_with("gr:")) {
            found.push(format!("`{line}` lacks a type ({}) or a pattern (gr:…)", KEY_TYPES.join(", ")));
        }
    }
    for argument in header.iter().flat_map(|line| line.split("ARGV[").skip(1)) {
        if argument.split_once(']').is_none_or(|(_, meaning)| meaning.trim().is_empty()) {
            found.push(format!("`ARGV[{}` lacks its meaning, with a unit where it has one", argument.trim()));
        }
    }
    found
}

/// Whether the header lists exactly the elements that are used. What the shared parts use may be
/// listed, and where the body hands on the whole array, or takes a computed element, everything may.
fn listing_offences(array: &str, header: &[&str], body: &str, shared: &str) -> Vec<String> {
    let start = format!("{array}[");
    let entries = header.iter().filter(|line| line.starts_with("KEYS[") || line.starts_with("ARGV["));
    let indices = entries.flat_map(|line| line.split(start.as_str()).skip(1)).filter_map(|rest| rest.split_once(']'));
    let listed: Vec<usize> = indices.filter_map(|(index, _)| index.parse().ok()).collect();
    if listed != (1..=listed.len()).collect::<Vec<_>>() {
        return vec![format!("the header must list {array}[1], {array}[2] … in order, each once")];
    }
    let mut found = Vec::new();
    let (used, any) = elements(array, body);
    let (offered, _) = elements(array, shared);
    for index in used.iter().filter(|index| !listed.contains(index)) {
        found.push(format!("uses {array}[{index}], which the header does not list"));
    }
    for index in listed.iter().filter(|index| !(any || used.contains(index) || offered.contains(index))) {
        found.push(format!("lists {array}[{index}], which nothing uses"));
    }
    if any && listed.is_empty() {
        found.push(format!("uses {array}, of which the header lists none"));
    }
    found
}

/// The elements that the code names by number, and whether it uses the array in another way.
fn elements(array: &str, code: &str) -> (BTreeSet<usize>, bool) {
    let (mut numbers, mut any) = (BTreeSet::new(), false);
    for (at, _) in code.match_indices(array) {
        // A string such as 'KEYS' is a command's name; a longer word is another thing.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || "_'\"".contains(c)) {
            continue;
        }
        let rest = &code[at + array.len()..];
        if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let index =
            rest.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(index, _)| index.trim());
        match index.and_then(|index| index.parse().ok()) {
            Some(number) => drop(numbers.insert(number)),
            None => any = true,
        }
    }
    (numbers, any)
}

fn body_offences(body: &str) -> Vec<String> {
    let mut found = Vec::new();
    if body.contains("#!lua") {
        found.push("has the line `#!lua`, which is put before it at load".to_owned());
    }
    if ["'gr:", "\"gr:"].iter().any(|start| body.contains(start)) {
        found.push(
            "holds the name of a Redis key; names come from the caller, or are built from a prefix it passes"
                .to_owned(),
        );
    }
    for arguments in calls(body) {
        if let Some(reason) = unbounded(&arguments) {
            found.push(format!("call({}): {reason}", arguments.join(", ")));
        }
    }
    found
}

/// Why the call's time is not bounded, if it is not.
fn unbounded(arguments: &[String]) -> Option<&'static str> {
    let command = arguments.first()?.trim_matches(['\'', '"']).to_uppercase();
    let has =
        |word: &str| arguments.iter().any(|argument| argument.trim_matches(['\'', '"']).eq_ignore_ascii_case(word));
    // By rank a range is bounded by its end, unless that counts from the back.
    let to_the_end = arguments.get(3).is_some_and(|end| end.trim_matches(['\'', '"']).starts_with('-'));
    let is_by_rank = matches!(command.as_str(), "ZRANGE" | "ZREVRANGE") && !has("BYSCORE") && !has("BYLEX");
    match command.as_str() {
        name if UNBOUNDED.contains(&name) => Some("its time grows with what is stored"),
        "LRANGE" if to_the_end => Some("give it an end: its time grows with the list"),
        _ if is_by_rank && to_the_end => Some("give it an end: its time grows with the set"),
        name if (name.starts_with("ZRANGE") || name.starts_with("ZREVRANGE")) && !is_by_rank && !has("LIMIT") => {
            Some("without LIMIT its time grows with the set")
        }
        "XRANGE" | "XREVRANGE" | "XREAD" if !has("COUNT") => Some("without COUNT its time grows with the stream"),
        _ => None,
    }
}

/// The arguments of each `redis.call`, `redis.pcall` and local `call`.
fn calls(body: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, name) in body.match_indices("call(") {
        let (mut depth, mut quote, mut argument) = (0usize, None, String::new());
        let mut arguments = Vec::new();
        for c in body[at + name.len()..].chars() {
            match (quote, c) {
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (None, '(' | '{' | '[') => depth += 1,
                (None, ')') if depth == 0 => break,
                (None, ')' | '}' | ']') => depth = depth.saturating_sub(1),
                (None, ',') if depth == 0 => {
                    arguments.push(std::mem::take(&mut argument));
                    continue;
                }
                _ => {}
            }
            argument.push(c);
        }
        arguments.push(argument);
        found.push(arguments.iter().map(|text| text.trim().to_owned()).collect());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "-- Notes that somebody is there.\n\
        -- KEYS[1] hash    gr:{shard}:dispatch:<tenant>:<room>:<agent>\n\
        -- KEYS[2] zset    gr:{shard}:due:provider\n\
        -- ARGV[1] now     ms since 1970; empty: Redis's TIME\n\
        -- Returns: 1\n\
        -- Errors: NOT_OWNER\n\
        \n\
        local now = tonumber(ARGV[1]) -- not ARGV[7]\n\
        redis.call('HSET', KEYS[1], 'at', now)\n\
        redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)\n\
        return 1\n";

    fn script(text: &str) -> Vec<String> {
        let prelude = File { path: "lua/prelude.lua".into(), text: "-- Shared.\nlocal x = ARGV[2]\n".into() };
        offences(&File { path: "lua/dispatch/touch.lua".into(), text: text.to_owned() }, &[prelude])
    }

    /// Asserts that the good script, with one thing replaced, breaks exactly one rule, and which.
    #[track_caller]
    fn bites(from: &str, to: &str, expected: &str) {
        assert!(GOOD.contains(from), "{from} is not in the sample");
        let found = script(&GOOD.replace(from, to));
        assert!(found.len() == 1 && found[0].contains(expected), "{to} gave {found:?}");
    }

    #[test]
    fn a_good_script_is_let_be() {
        assert_eq!(script(GOOD), Vec::<String>::new());
        // What the prelude uses may be listed.
        assert_eq!(script(&GOOD.replace("-- Returns", "-- ARGV[2] id  opaque\n-- Returns")), Vec::<String>::new());
        // Several on a line; all of them handed on.
        let whole = GOOD.replace("TIME\n", "TIME   ARGV[2] ids\n").replace("return 1", "return f(ARGV)");
        assert_eq!(script(&whole), Vec::<String>::new());
        assert_eq!(script(&GOOD.replace("return 1", "redis.call('ZRANGE', KEYS[2], 0, 9)")), Vec::<String>::new());
    }

    #[test]
    fn the_header_says_all() {
        bites("-- Notes that somebody is there.\n", "", "without its purpose");
        bites("-- Returns: 1\n", "", "Returns:");
        bites("-- Errors: NOT_OWNER\n", "-- Errors:\n", "Errors:");
        bites("hash    gr:", "gr:", "lacks a type");
        bites("zset    gr:{shard}:due:provider", "zset the provider's", "or a pattern");
        bites("now     ms since 1970; empty: Redis's TIME", " ", "lacks its meaning");
        let first = script(&format!("#!lua\n{GOOD}"));
        assert!(first.iter().any(|text| text.contains("`#!lua`")), "{first:?}");
    }

    #[test]
    fn header_and_body_list_the_same() {
        bites("return 1\n", "return KEYS[3]\n", "uses KEYS[3]");
        bites("return 1\n", "return ARGV[2]\n", "uses ARGV[2]");
        bites("tonumber(ARGV[1])", "0", "lists ARGV[1]");
        bites("-- KEYS[2] zset", "-- KEYS[1] zset", "in order");
        bites("-- Returns", "-- ARGV[2] a   ARGV[3] b\n-- Returns", "lists ARGV[3]");
        let none = GOOD.replace("-- ARGV[1] now     ms since 1970; empty: Redis's TIME\n", "");
        assert_eq!(script(&none.replace("ARGV[1]", "#ARGV")).len(), 1);
    }

    #[test]
    fn the_body_is_short() {
        let filler = |lines: usize| GOOD.replace("return 1\n", &"f()\n".repeat(lines));
        assert_eq!(script(&filler(72)), Vec::<String>::new());
        assert_eq!(script(&filler(73)).len(), 1);
        assert_eq!(script(&GOOD.replace("return 1\n", &"\n-- a comment\n".repeat(99))), Vec::<String>::new());
    }

    #[test]
    fn every_command_is_bounded() {
        for call in [
            "redis.call('KEYS', '*')",
            "redis.call(\"smembers\", KEYS[1])",
            "redis.pcall('SCAN', 0)",
            "call('HSCAN', KEYS[1], 0)",
            "redis.call('LRANGE', KEYS[1], 0, -1)",
            "redis.call('LRANGE', KEYS[1], 0, '-1')",
            "redis.call('ZRANGE', KEYS[2], 0, -1)",
            "redis.call('ZRANGE', KEYS[2], '-inf', f(a, b), 'BYSCORE')",
            "redis.call('ZRANGEBYSCORE', KEYS[2], 0, now)",
            "redis.call('XRANGE', KEYS[1], '-', '+')",
        ] {
            bites("return 1", &format!("return {call}"), "call(");
        }
        let fine = "redis.call('LRANGE', KEYS[1], 0, 99); redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 10)";
        assert_eq!(script(&GOOD.replace("return 1", fine)), Vec::<String>::new());
    }

    #[test]
    fn a_script_names_no_key() {
        bites("return 1", "return 'gr:' .. now", "name of a Redis key");
        assert_eq!(script(&GOOD.replace("return 1", "return ARGV[1] .. ':people'")), Vec::<String>::new());
    }

    #[test]
    fn shared_parts_need_a_purpose_only() {
        let shared = |text: &str| offences(&File { path: "lua/prelude.lua".into(), text: text.into() }, &[]);
        assert_eq!(shared(&format!("-- Shared.\nlocal x = ARGV[9]\n{}", "f()\n".repeat(99))), Vec::<String>::new());
        assert_eq!(shared("local x = 1\n").len(), 1);
        assert_eq!(shared("-- Shared.\nredis.call('KEYS', '*')\n").len(), 1);
    }
}
