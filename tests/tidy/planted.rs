//! A rule for the planted bugs under `tests/harness/planted/`: each is a change of the code as it stands. One that no longer
//! applies would show nothing, and nobody plants them all for every change.

use std::path::Path;

use crate::text::{self, File};

/// The hunks of the patch that no place of their file has.
pub(crate) fn offences(root: &Path, patch: &File) -> Vec<String> {
    let (mut target, mut found, mut hunks) = (String::new(), Vec::new(), 0);
    for part in patch.text.split("\n@@ ") {
        // The first line is the rest of the hunk's own; before the first hunk of a file it is the file's.
        let old: Vec<&str> = part.lines().skip(1).filter_map(old_line).collect();
        if !target.is_empty() {
            hunks += 1;
            let text = text::file(root, &target).map(|file| file.text).unwrap_or_default();
            if !text.contains(&old.join("\n")) {
                found.push(format!("{}: hunk {hunks} does not fit {target}", patch.path));
            }
        }
        if let Some((_, name)) = part.rsplit_once("\n--- a/") {
            name.lines().next().unwrap_or_default().clone_into(&mut target);
        }
    }
    if hunks == 0 {
        found.push(format!("{}: there is no hunk in it", patch.path));
    }
    found
}

/// What the line says of the file as it is, if anything.
fn old_line(line: &str) -> Option<&str> {
    if line.is_empty() {
        return Some(line);
    }
    line.strip_prefix(' ').or_else(|| line.strip_prefix('-').filter(|rest| !rest.starts_with("-- a/")))
}

#[test]
fn planted_bugs_are_changes_of_the_code_as_it_is() {
    let root = crate::root();
    let patches = text::files(root, "tests/harness/planted", "patch");
    assert!(patches.len() >= 13, "{}", patches.len());
    crate::assert_none(&patches.iter().flat_map(|patch| offences(root, patch)).collect::<Vec<_>>());
    let stale = text::file(root, &patches[0].path).map(|file| file.text.replace("\n ", "\n other")).expect("a patch");
    assert!(!offences(root, &File { text: stale, ..patches[0].clone() }).is_empty());
}
