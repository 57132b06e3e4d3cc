//! Rules for documents: every key's pattern is described, every row of the status names its tests.

use std::collections::BTreeSet;

use crate::text::{self, File};

/// Keys of `src/store/keys.rs` that the page of the keys does not describe.
///
/// A key is a literal that begins with `gr:` or with a prefix's placeholder; it is told by its
/// plain words, in their order. `"{}index:{}:dispatches"` is described where the page has a
/// pattern in backticks with just these words: `` `gr:{shard}:index:<tenant>:dispatches` ``.
pub(crate) fn undocumented_keys(keys: &File, page: &str) -> Vec<String> {
    let described: BTreeSet<_> = quoted(page).filter(|text| text.starts_with("gr:")).map(plain_words).collect();
    let code = keys.text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut count = 0;
    for literal in text::parts(code).strings.lines() {
        let name = literal.trim_start_matches(['r', '#']).trim_matches(['"', '#']);
        let words = plain_words(name);
        if words.is_empty() || !(name.starts_with("gr:") || name.starts_with('{')) {
            continue;
        }
        count += 1;
        if !described.contains(&words) {
            found.push(format!("docs/redis-keys.md: describes no key of the form `{name}` ({})", keys.path));
        }
    }
    if count == 0 {
        found.push(format!("{}: has no literal that looks like a key", keys.path));
    }
    found
}

/// The words of a key's pattern that are not filled in, but for the common prefix.
fn plain_words(pattern: &str) -> Vec<String> {
    let mut depth = 0usize;
    let mut plain = String::new();
    for c in pattern.chars() {
        match c {
            '{' | '<' => depth += 1,
            '}' | '>' => {
                depth = depth.saturating_sub(1);
                plain.push(':');
            }
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    plain.split(':').filter(|word| !word.is_empty() && *word != "gr").map(str::to_owned).collect()
}

/// Names of the tests in the files: Rust's, Python's and TypeScript's.
pub(crate) fn test_names(files: &[File]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files {
        let mut is_test = false;
        for line in file.text.lines().map(str::trim) {
            let plain = line.trim_start_matches("pub ").trim_start_matches("async ");
            if line.starts_with("#[") {
                is_test |= line.contains("test]") || line.contains("test(") || line.contains("rstest");
            } else if let Some(name) = plain.strip_prefix("fn ").filter(|_| is_test) {
                names.insert(word(name));
                is_test = false;
            } else if let Some(name) = plain.strip_prefix("def test_") {
                names.insert(format!("test_{}", word(name)));
            } else if let Some(name) = ["test('", "it('", "test(\"", "it(\""].iter().find_map(|s| line.strip_prefix(s))
            {
                names.insert(name.split(['\'', '"']).next().unwrap_or_default().to_owned());
            } else if !line.is_empty() && !line.starts_with("//") {
                is_test = false;
            }
        }
    }
    names
}

/// Rows of the status that name a test that does not exist, or call done what has none.
///
/// The status has tables with a column `Test` (or `Tests`), with names in backticks (a path before
/// them, as in `reuse::three_tabs`, is for the reader), and perhaps a column `Status`.
pub(crate) fn untested_rows(status: &File, tests: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    let mut columns: Option<(usize, Option<usize>)> = None;
    let mut tables = 0;
    for (at, line) in status.text.lines().enumerate() {
        let Some(row) = line.trim().strip_prefix('|') else {
            columns = None;
            continue;
        };
        let cells: Vec<_> = row.trim_end_matches('|').split('|').map(str::trim).collect();
        let Some((test, state)) = columns else {
            let column = |names: &[&str]| cells.iter().position(|cell| names.contains(&cell.to_lowercase().as_str()));
            columns = column(&["test", "tests"]).map(|test| (test, column(&["status", "state"])));
            tables += usize::from(columns.is_some());
            continue;
        };
        if cells.iter().all(|cell| cell.chars().all(|c| "-: ".contains(c))) {
            continue;
        }
        let place = format!("{}:{}", status.path, at + 1);
        let named: Vec<_> = cells.get(test).into_iter().flat_map(|cell| quoted(cell)).collect();
        for name in named.iter().filter(|name| !tests.contains(name.rsplit("::").next().unwrap_or_default())) {
            found.push(format!("{place}: there is no test `{name}`"));
        }
        let is_done =
            state.and_then(|state| cells.get(state)).is_none_or(|cell| cell.to_lowercase().starts_with("done"));
        if named.is_empty() && is_done {
            found.push(format!("{place}: done, but no test is named"));
        }
    }
    if tables == 0 {
        found.push(format!("{}: has no table with a column `Test`", status.path));
    }
    found
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File { path: "f".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn every_key_is_described() {
        let keys = file(
            "//! Keys.\nconst A: &str = \"gr:schema\";\n\
             fn p(s: u16) { format!(\"gr:{{{}}}:\", s); format!(\"{}index:{}:dispatches\", p, t); format!(\"{a}:{b}\"); }\n\
             #[cfg(test)]\nmod tests { const B: &str = \"gr:{17}:made_up\"; }\n",
        );
        let page = "`gr:schema` and `gr:{shard}:index:<tenant>:dispatches`";
        assert_eq!(undocumented_keys(&keys, page), Vec::<String>::new());
        let found = undocumented_keys(&keys, &page.replace("dispatches", "pools"));
        assert!(found.len() == 1 && found[0].contains("`{}index:{}:dispatches`"), "{found:?}");
        assert_eq!(undocumented_keys(&keys, "").len(), 2);
        assert!(undocumented_keys(&file("//! Keys.\n"), "")[0].contains("no literal"));
    }

    #[test]
    fn tests_are_found_by_name() {
        let text = "#[test]\nfn a() {}\nfn not_a() {}\n#[tokio::test(start_paused = true)]\n// why\nasync fn b() {}\n\
                    #[track_caller]\nfn not_b() {}\n    def test_c(self):\n  it('does d', () => {\n";
        let names = test_names(&[file(text)]);
        assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b", "does d", "test_c"]);
    }

    #[test]
    fn every_row_names_tests_that_exist() {
        let tests = test_names(&[file("#[test]\nfn three_tabs() {}\n")]);
        let rows = |rows: &str| {
            let text = format!("| Feature | Status | Test |\n|---|:--|---|\n{rows}\n");
            untested_rows(&file(&text), &tests)
        };
        assert_eq!(rows("| reuse | done | `reuse::three_tabs` |\n| pools | planned | |"), Vec::<String>::new());
        assert!(rows("| reuse | done | `four_tabs` |")[0].contains("no test `four_tabs`"));
        assert!(rows("| reuse | done | |")[0].contains("no test is named"));
        assert!(rows("| pools | planned | `nope` |")[0].contains("no test `nope`"));
        assert_eq!(untested_rows(&file("# Status\n"), &tests).len(), 1);
    }
}
