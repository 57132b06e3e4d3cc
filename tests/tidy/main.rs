//! The house rules of `docs/STYLE.md` that a machine can hold: each is a function from files to
//! offences, run over the tree, and over a sample that breaks it.

use std::path::Path;

mod docs;
mod lua;
mod planted;
mod rust;
mod text;

use text::File;

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files() -> Vec<File> {
    ["src", "tests", "benches"].iter().flat_map(|dir| text::files(root(), dir, "rs")).collect()
}

/// Fails with every offence on a line of its own.
#[track_caller]
fn assert_none(offences: &[String]) {
    assert!(offences.is_empty(), "{} offences:\n{}", offences.len(), offences.join("\n"));
}

#[test]
fn rust_files_follow_the_rules() {
    let files = rust_files();
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the rules looked at nothing");
    assert_none(&files.iter().flat_map(rust::offences).collect::<Vec<_>>());
}

#[test]
fn lua_scripts_follow_the_rules() {
    let files = text::files(root(), "lua", "lua");
    let shared: Vec<_> = files.iter().filter(|file| lua::is_shared(file)).cloned().collect();
    assert_none(&files.iter().flat_map(|file| lua::offences(file, &shared)).collect::<Vec<_>>());
}

#[test]
fn documents_keep_up_with_the_code() {
    if let Some(keys) = text::file(root(), rust::KEYS_FILE) {
        let page = text::file(root(), "docs/redis-keys.md").unwrap_or_default();
        assert_none(&docs::undocumented_keys(&keys, &page.text));
    }
    if let Some(status) = text::file(root(), "docs/status.md") {
        let mut tests = docs::test_names(&rust_files());
        tests.extend(docs::test_names(&text::files(root(), "clients", "py")));
        tests.extend(docs::test_names(&text::files(root(), "clients", "ts")));
        assert_none(&docs::untested_rows(&status, &tests));
    }
}
