//! A message without its variable parts: what is left is the same for failures that are alike.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::sample::concealed;
use crate::scrub;

/// How much of a message counts.
const MESSAGE_CHARS_MAX: usize = 4096;
/// The longest template, in characters.
pub(super) const TEMPLATE_CHARS_MAX: usize = 300;
/// A word of so many characters with a digit in it is somebody's id; `http2` and `E0308` are not.
const ID_CHARS_MIN: usize = 8;

/// What varies, each with its name. The first that fits counts, so what holds others comes first.
static VARIABLE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let parts = [
        ("text", r#""[^"\n]*"|`[^`\n]*`|“[^”\n]*”|\B'[^'\n]*'\B"#),
        ("url", r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s<>)\]]+"),
        (
            "time",
            r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?\b|\b\d\d?:\d\d:\d\d(?:[.,]\d+)?\b",
        ),
        (
            "address",
            r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\[?(?:\b[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{1,4}\b\]?(?::\d+)?|\[?::[0-9a-fA-F]{1,4}\b\]?(?::\d+)?",
        ),
        ("path", r"(?:/[\w.@%+~-]+){2,}/?|\b[A-Za-z]:\\[^\s:]+"),
        ("id", r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b|\b0x[0-9a-fA-F]+\b|\b[0-9a-fA-F]{16,}\b"),
        (
            "duration",
            r"\b\d+(?:\.\d+)?\s?(?:ns|us|µs|ms|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|milliseconds?)\b",
        ),
        ("number", r"[-+]?\b\d+(?:[.,]\d+)*\b"),
        ("word", r"[\w-]+"),
    ];
    let all = parts.map(|(name, pattern)| format!("(?P<{name}>{pattern})")).join("|");
    Regex::new(&all).ok()
});

/// The template of a message: one line of bounded length.
pub fn template(message: &str) -> String {
    let message = concealed(message, MESSAGE_CHARS_MAX);
    let varied = match VARIABLE.as_ref() {
        Some(variable) => variable.replace_all(&message, name_of),
        None => Cow::Borrowed(message.as_str()),
    };
    let mut template = String::new();
    let plain = varied.split(|c: char| c.is_whitespace() || scrub::is_hidden(c)).filter(|word| !word.is_empty());
    for word in plain {
        if !template.is_empty() {
            template.push(' ');
        }
        template.push_str(word);
    }
    match template.char_indices().nth(TEMPLATE_CHARS_MAX) {
        None => template,
        Some(_) => template.chars().take(TEMPLATE_CHARS_MAX - 1).chain(['…']).collect(),
    }
}

/// What stands for a variable part.
fn name_of(found: &Captures<'_>) -> String {
    for name in ["text", "url", "time", "address", "path", "duration", "id", "number"] {
        if found.name(name).is_some() {
            return format!("<{name}>");
        }
    }
    let word = &found[0];
    let is_id = word.chars().count() >= ID_CHARS_MIN && word.contains(|c: char| c.is_ascii_digit());
    if is_id { "<id>".to_owned() } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_varies_is_named() {
        for (message, expected) in [
            (
                "dial tcp 10.0.0.7:6379: connection refused after 3s",
                "dial tcp <address>: connection refused after <duration>",
            ),
            ("job 3 of 12 failed", "job <number> of <number> failed"),
            ("room \"lobby\" has no agent 'guide'", "room <text> has no agent <text>"),
            ("can't reach it, won't try", "can't reach it, won't try"),
            ("user 0198c5d0-1234-7000-8000-0123456789ab is gone", "user <id> is gone"),
            (
                "user 21312034-3411-7000-8000-012345678900 and 2131203d-3411-7000-8000-012345678900",
                "user <id> and <id>",
            ),
            ("dispatch dsp_17_0198c5d0000070008000000000000000 not found", "dispatch <id> not found"),
            ("GET https://x.example/a?b=1 failed", "GET <url> failed"),
            ("open /var/lib/x/y.db: no such file", "open <path>: no such file"),
            ("segfault at 0xdeadbeef", "segfault at <id>"),
            ("at 2026-11-21T09:51:21.991Z: late", "at <time>: late"),
            ("E0308 in http2", "E0308 in http2"),
            ("took 1.5 ms, 12.5% of 4096 bytes", "took <duration>, <number>% of <number> bytes"),
            ("two\n  lines\u{1b}[m", "two lines [m"),
            ("[::1]:8080 refused", "<address> refused"),
            ("", ""),
        ] {
            assert_eq!(template(message), expected, "{message:?}");
        }
    }

    #[test]
    fn a_template_is_bounded_and_holds_no_token() {
        assert_eq!(template(&"word ".repeat(10_000)).chars().count(), TEMPLATE_CHARS_MAX);
        assert_eq!(template(&"é".repeat(3_000)).chars().count(), TEMPLATE_CHARS_MAX);
        let shown = template("sent Authorization: Bearer s3cret to redis://me:pw@host, password=hush");
        assert!(!["s3cret", "pw", "hush"].iter().any(|secret| shown.contains(secret)), "{shown}");
    }

    proptest! {
        #[test]
        fn messages_that_differ_in_their_variable_parts_have_one_template(
            number in any::<u32>(), other in any::<u32>(), high in any::<u128>(), low in any::<u128>(),
            name in "[a-zA-Z0-9 _/:.-]{0,30}", ms in 0_u32..100_000, port in 1_u16..,
        ) {
            let id = uuid::Uuid::from_u128(high).to_string();
            let say = |number: u32, id: &str, name: &str, ms: u32, port: u16| {
                template(&format!("job {number} of {id} in \"{name}\" at 10.0.0.1:{port} failed after {ms}ms (try {number})"))
            };
            let one = say(number, &id, &name, ms, port);
            let another = say(other, &uuid::Uuid::from_u128(low).to_string(), "lobby", 5, 80);
            prop_assert_eq!(&one, &another);
            prop_assert_eq!(&one, "job <number> of <id> in <text> at <address> failed after <duration> (try <number>)");
        }

        #[test]
        fn any_text_has_a_template(message in ".{0,600}") {
            let template = template(&message);
            prop_assert!(template.chars().count() <= TEMPLATE_CHARS_MAX);
            prop_assert!(!template.contains(scrub::is_hidden));
        }
    }
}
