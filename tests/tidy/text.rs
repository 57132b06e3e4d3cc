//! Files, and Rust's text without its comments or strings.

use std::path::Path;

/// A text file of the repository.
#[derive(Debug, Clone, Default)]
pub(crate) struct File {
    /// From the repository's root, with `/`.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

/// The files below `dir` with that extension, by path. None where the directory is missing.
pub(crate) fn files(root: &Path, dir: &str, extension: &str) -> Vec<File> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(root.join(dir)).into_iter().flatten().flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{dir}/{name}");
        let is_foreign = name.starts_with('.') || name == "node_modules" || name == "target";
        if entry.path().is_dir() && !is_foreign {
            found.extend(files(root, &path, extension));
        } else if Path::new(&name).extension().is_some_and(|own| own == extension) {
            found.extend(file(root, &path));
        }
    }
    found
}

/// One file, if it is there.
pub(crate) fn file(root: &Path, path: &str) -> Option<File> {
    let text = std::fs::read_to_string(root.join(path)).ok()?;
    Some(File { path: path.to_owned(), text })
}

/// Rust's text taken apart; each part keeps its line breaks, so that lines can be counted.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Without comments and without what stands in strings.
    pub(crate) code: String,
    /// What stands in strings, one a line.
    pub(crate) strings: String,
    /// The comments.
    pub(crate) comments: String,
}

/// Takes Rust's text apart. Knows line and nested block comments, strings with escapes, raw
/// strings, characters and lifetimes.
pub(crate) fn parts(text: &str) -> Parts {
    let mut parts = Parts::default();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, kind) = token(rest, first, parts.code.chars().last());
        let (token, tail) = rest.split_at(length.max(first.len_utf8()));
        match kind {
            Kind::Code => parts.code.push_str(token),
            Kind::Comment => {
                parts.comments.push_str(token);
                parts.comments.push('\n');
            }
            Kind::String => {
                parts.strings.push_str(token);
                parts.strings.push('\n');
                parts.code.push_str("\"\"");
            }
        }
        if kind != Kind::Code {
            parts.code.extend(token.chars().filter(|c| *c == '\n'));
        }
        rest = tail;
    }
    parts
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    String,
}

/// The length and kind of what `rest` begins with.
fn token(rest: &str, first: char, before: Option<char>) -> (usize, Kind) {
    let starts_word = !before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Kind::Comment);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), Kind::Comment);
    }
    if first == '"' {
        return (string(rest), Kind::String);
    }
    if first == 'r' && (starts_word || before == Some('b')) {
        let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
        if rest[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = 2 + hashes;
            let length = rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len());
            return (length, Kind::String);
        }
    }
    if first == '\'' {
        return (character(rest), Kind::Code);
    }
    (first.len_utf8(), Kind::Code)
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character such as `'"'`; a lifetime's quote stands for itself.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let body = at + escaped.len_utf8();
            rest[body..].find('\'').map_or(1, |end| body + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[test]
fn rust_is_taken_apart() {
    let text = "//! doc \"gr:a\"\nlet a = \"gr:b // no \\\" c\"; /* x /* y */ z */ let q = '\"'; // tail\n\
                let r = r#\"raw \"gr:c\" \"#; fn f<'a>(x: &'a str) -> char { '\\'' } let s = \"end\";";
    let Parts { code, strings, comments } = parts(text);
    assert!(comments.contains("doc \"gr:a\"") && comments.contains("z */") && comments.contains("tail"));
    assert!(!comments.contains("no"), "{comments}");
    assert!(strings.contains("gr:b // no") && strings.contains("raw \"gr:c\"") && strings.contains("end"));
    assert!(!code.contains("gr:") && code.contains("fn f<'a>(x: &'a str) -> char { '\\'' } let s = \"\";"), "{code}");
    assert_eq!(code.lines().count(), text.lines().count());
}
