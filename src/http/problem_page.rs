//! The part of `docs/errors.md` that is made of the catalogue and the document.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::openapi::document;
use super::problem::Code;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");

/// What is made ends with the page; before this line stands what people write.
const BEGIN: &str = "<!-- From here on made by `make docs` of src/http/problem_catalogue.rs and the handlers. -->\n";

/// `GREENROOM_WRITE_DOCS=1` has it written instead of compared.
#[test]
fn the_page_of_errors_is_that_of_the_catalogue() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (written, made) = page.split_once(BEGIN).expect("the line where the made part begins");
    let expected = made_part();
    if std::env::var_os("GREENROOM_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, format!("{written}{BEGIN}{expected}")).unwrap();
    } else {
        assert!(made == expected, "docs/errors.md is out of date: `make docs` writes it anew");
    }
}

fn made_part() -> String {
    let operations = operations();
    let mut page = String::from(
        "\n## Codes\n\n| code | status | again? | meaning | what to do | given by |\n|---|---|---|---|---|---|\n",
    );
    let mut users = BTreeMap::<_, Vec<_>>::new();
    for entry in Code::ALL.iter().map(|code| code.entry()) {
        let given = givers(&operations, entry.code);
        let (code, status, again) = (entry.code, entry.status.as_u16(), if entry.retryable { "yes" } else { "no" });
        let suggestions = entry.suggestions.join(" ").replace('|', "\\|");
        let _ = writeln!(page, "| `{code}` | {status} | {again} | {} | {suggestions} | {given} |", entry.title);
        users.entry(entry.user_message).or_default().push(format!("`{code}`"));
    }
    page.push_str("\n## What an end user reads\n\n| `user_message` | codes |\n|---|---|\n");
    for (message, codes) in users {
        let _ = writeln!(page, "| {message} | {} |", codes.join(", "));
    }
    page
}

/// Who gives the code, said in the shorter way.
fn givers(operations: &BTreeMap<String, Vec<Value>>, code: &str) -> String {
    let (givers, others): (Vec<_>, Vec<_>) = operations.iter().partition(|(_, codes)| codes.contains(&code.into()));
    let listed = |some: &[(&String, &Vec<Value>)]| {
        let names: Vec<_> = some.iter().map(|(id, _)| format!("`{id}`")).collect();
        names.join(", ")
    };
    match (givers.as_slice(), others.as_slice()) {
        ([], _) => "where no operation is".to_owned(),
        (_, []) => "every operation".to_owned(),
        (some, few) if few.len() < some.len() => format!("every operation but {}", listed(few)),
        (some, _) => listed(some),
    }
}

/// The codes of every operation, by its id.
fn operations() -> BTreeMap<String, Vec<Value>> {
    let api: Value = serde_json::from_str(document()).unwrap();
    let items = api["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    items
        .map(|operation| {
            let codes = operation["x-problem-codes"].as_array().unwrap().clone();
            (operation["operationId"].as_str().unwrap().to_owned(), codes)
        })
        .collect()
}
