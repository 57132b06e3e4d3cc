//! What is kept of one failure, for whoever looks into its group: short, and without secrets.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Report;
use crate::name::{NAME_CHARS_MAX, Name};
use crate::scrub;

const MESSAGE_CHARS_MAX: usize = 500;
const STACK_LINES_MAX: usize = 40;
const STACK_CHARS_MAX: usize = 3000;
/// How many things the context of a report may have.
pub const CONTEXT_MAX: usize = 16;
const CONTEXT_NAME_CHARS_MAX: usize = 64;
const CONTEXT_VALUE_CHARS_MAX: usize = 200;

/// Names of things that are secret by what they are.
const SECRETS: [&str; 12] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "authorization",
    "cookie",
    "credential",
    "private",
];

/// What stands where a secret was.
const MASK: &str = "<secret>";

#[derive(Serialize)]
struct Sample {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    context: BTreeMap<String, String>,
}

/// A report as JSON.
pub(super) fn of_report(report: &Report) -> String {
    let context = report.context.iter().take(CONTEXT_MAX).map(|(name, value)| {
        let value = if is_secret(name) { MASK.to_owned() } else { concealed(value, CONTEXT_VALUE_CHARS_MAX) };
        (concealed(name, CONTEXT_NAME_CHARS_MAX), value)
    });
    written(&Sample {
        message: concealed(&report.message, MESSAGE_CHARS_MAX),
        code: report.code.as_ref().map(label),
        status: report.status,
        service: report.service.as_ref().map(label),
        stack: report.stack.as_deref().map(stack),
        context: context.collect(),
    })
}

/// A message of our own as JSON.
pub(super) fn of_message(message: &str, code: Option<&'static str>) -> String {
    let message = concealed(message, MESSAGE_CHARS_MAX);
    let code = code.map(str::to_owned);
    written(&Sample { message, code, status: None, service: None, stack: None, context: BTreeMap::new() })
}

fn written(sample: &Sample) -> String {
    // Texts, numbers and a map of texts are always JSON.
    serde_json::to_string(sample).unwrap_or_default()
}

/// The text on one line, without what is a secret by its looks or by what stands before it.
pub(super) fn concealed(text: &str, chars_max: usize) -> String {
    let text: String = text.chars().take(chars_max * 4).collect();
    scrub::foreign_up_to(&without_named(&scrub::masked(&text)), chars_max)
}

/// A name that a reporter gives, as it may be told.
pub(super) fn label(name: &Name) -> String {
    concealed(name.as_str(), NAME_CHARS_MAX)
}

fn stack(text: &str) -> String {
    let lines: Vec<_> = text.lines().take(STACK_LINES_MAX).map(|line| concealed(line, MESSAGE_CHARS_MAX)).collect();
    lines.join("\n").chars().take(STACK_CHARS_MAX).collect()
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRETS.iter().any(|secret| name.contains(secret))
}

/// Without the values of `password=…`, `"token": "…"` and their like.
fn without_named(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['=', ':']) {
        let (name, tail) = rest.split_at(at + 1);
        clean.push_str(name);
        rest = tail;
        let word = name[..at].trim_end_matches(['"', '\'', ' ']);
        let word = word.rsplit(|c: char| !c.is_alphanumeric() && !"_-".contains(c)).next().unwrap_or_default();
        let value = tail.trim_start_matches([' ', '"', '\'']);
        let end = value.find([' ', '"', '\'', ',', ';', '&', '\n', ')', '}']).unwrap_or(value.len());
        // `token: expired` names no token; what follows one of these is a word of it, though, and goes as well.
        if is_secret(word) && end > 0 {
            clean.push_str(&tail[..tail.len() - value.len()]);
            clean.push_str(MASK);
            rest = &value[end..];
        }
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJkZXZrZXkifQ.4Hq7mZ9dYx1vWkTn0uRcLbPa2sEoFg3hJi5Kl6MnOpQ";

    fn report() -> Report {
        let context = [("room", "lobby"), ("DB_PASSWORD", "canary"), ("header", "Bearer canary"), ("note", TOKEN)];
        Report {
            operation: Name::room("tts").unwrap(),
            message: format!("refused: password=canary, api_key: 'canary' {TOKEN}"),
            category: None,
            severity: None,
            retryable: None,
            code: Some(Name::room("E1").unwrap()),
            status: Some(500),
            service: Some(Name::room(TOKEN).unwrap()),
            stack: Some(format!("at a (b.js:1)\n  at redis://me:canary@host\r\n{TOKEN}\n").repeat(100)),
            context: context.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        }
    }

    #[test]
    fn a_sample_is_short_and_holds_no_secret() {
        let sample = of_report(&report());
        assert!(!sample.contains("canary") && !sample.contains("eyJ"), "{sample}");
        assert!(sample.contains("lobby") && sample.contains("b.js:1") && sample.contains("\"status\":500"), "{sample}");
        assert!(sample.len() < 6_000, "{}", sample.len());
        let long = Report { message: "é ".repeat(10_000), context: BTreeMap::new(), stack: None, ..report() };
        assert!(of_report(&long).chars().count() < 700);
    }

    #[test]
    fn what_names_no_secret_stays() {
        for text in ["status: 500, path=/a/b", "at 12:30:45: late", "a = b == c", "x:", "=", "", "\u{e000}:", "ᫀé=ᫀ"]
        {
            assert_eq!(without_named(text), text);
        }
        assert_eq!(without_named("{\"token\": \"abc\", \"n\": 1}"), "{\"token\": \"<secret>\", \"n\": 1}");
        assert_eq!(without_named("PASSWORD=a&x=b"), "PASSWORD=<secret>&x=b");
    }
}
