//! Takes out of texts what must not be told: tokens, and characters that deceive a reader.
//!
//! A server echoes a token that it does not accept, whole, and such a token may be valid elsewhere. So every
//! text that comes from another service goes through [`foreign`] where it comes in; and every line of the
//! log, and every detail of a refusal, through [`masked`] where it goes out.

use std::borrow::Cow;

/// What stands where a secret was.
const MASK: &str = "<token>";
const FOREIGN_CHARS_MAX: usize = 200;
/// A run of base64 as long as this may be (a piece of) a token: the shortest signature in use has 43.
const SECRET_CHARS_MIN: usize = 40;
/// From here on, what begins like a token counts as (a piece of) one.
const PIECE_CHARS_MIN: usize = 20;
/// How secrets begin: `{"` in base64, as every part of a token that is JSON does, and tokens of our own.
const BEGINNINGS: [&str; 2] = ["eyJ", "gat_"];

/// Makes a foreign text fit for logs and answers: one short line without anything that may be a token.
pub fn foreign(text: &str) -> String {
    foreign_up_to(text, FOREIGN_CHARS_MAX)
}

/// The same with another length.
pub fn foreign_up_to(text: &str, chars_max: usize) -> String {
    let mut clean = String::new();
    let mut word = String::new();
    for char in text.chars() {
        if is_of_token(char) {
            word.push(char);
        } else {
            push_word(&mut clean, &mut word);
            clean.push(if is_hidden(char) { ' ' } else { char });
        }
    }
    push_word(&mut clean, &mut word);
    let clean = clean.trim();
    match clean.char_indices().nth(chars_max) {
        None => clean.to_owned(),
        Some(_) => clean.chars().take(chars_max - 1).chain(['…']).collect(),
    }
}

fn push_word(clean: &mut String, word: &mut String) {
    let looks_secret = BEGINNINGS.iter().any(|beginning| word.contains(beginning))
        || word.split('.').any(|part| part.len() >= SECRET_CHARS_MIN)
        || word.split('.').filter(|part| part.len() >= SECRET_CHARS_MIN / 4).count() >= 3;
    clean.push_str(if looks_secret { MASK } else { word });
    word.clear();
}

/// The text without what is a secret by its looks: tokens of LiveKit and of ours, what follows `Bearer`, and
/// the user and password of an address. Less strict than [`foreign`]: ids and hashes stay.
pub fn masked(text: &str) -> Cow<'_, str> {
    if !may_hold_a_secret(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let secret = secret_at(rest);
        if let Some((kept, length)) = secret {
            clean.push_str(&rest[..kept]);
            clean.push_str(MASK);
            rest = &rest[length..];
        } else {
            clean.push(char);
            rest = &rest[char.len_utf8()..];
        }
    }
    Cow::Owned(clean)
}

/// Whether [`masked`] has to look closely. Quick: it runs on every line of the log.
pub(crate) fn may_hold_a_secret(text: &[u8]) -> bool {
    text.windows(3)
        .any(|three| matches!(three, b"eyJ" | b"gat" | b"grk" | b"://") || three.eq_ignore_ascii_case(b"rer"))
}

/// Of a secret at the start of the text: how much of it may be told, and how long it is with that.
fn secret_at(text: &str) -> Option<(usize, usize)> {
    if BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)) {
        let length = run(text, is_of_token);
        return (length >= PIECE_CHARS_MIN).then_some((0, length));
    }
    if text.starts_with("grk_") {
        // The id of an API key may be told; what follows its point may not.
        let length = run(text, is_of_token);
        let id = text[..length].find('.').map(|point| point + 1);
        return id.filter(|&id| id < length).map(|id| (id, length));
    }
    if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
        let length = run(&text[7..], |c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '`' | ',' | '<'));
        return (length > 0).then_some((7, 7 + length));
    }
    let authority = text.strip_prefix("://")?;
    let end = run(authority, |c| !c.is_whitespace() && !matches!(c, '/' | '"' | '\\' | '?'));
    authority[..end].rfind('@').map(|at| (3, 3 + at))
}

fn run(text: &str, is_of_it: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is_of_it(c)).unwrap_or(text.len())
}

fn is_of_token(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.')
}

/// Control characters, line and paragraph separators, and those that turn the direction of writing.
pub(crate) fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJkZXZrZXkiLCJ2aWRlbyI6e319.\
                         4Hq7mZ9dYx1vWkTn0uRcLbPa2sEoFg3hJi5Kl6MnOpQ";
    const OURS: &str = "gat_1795253484627_9dYx1vWkTn0uRcLbPa2sEoFg3hJi5Kl6MnOpQ4Hq7mZ";

    #[test]
    fn pieces_of_tokens_are_not_told() {
        for end in [20, 36, 37, 60, 75, 90, TOKEN.len()] {
            for text in [&TOKEN[..end], &format!("Bearer {}", &TOKEN[..end]), &format!("x=y_{}\n", &TOKEN[..end])] {
                let shown = foreign(text);
                assert!(shown.ends_with("<token>"), "{shown}");
                assert!(!shown.contains("eyJ") && !masked(text).contains("eyJ"), "{shown}");
            }
        }
        assert_eq!(foreign(TOKEN.rsplit('.').next().expect("a signature")), "<token>");
        assert_eq!(foreign("abcdefghijkl.mnopqrstuvwx.yz0123456789"), "<token>");
        assert_eq!(foreign("eyJhbGciOiJub25lIn0.eyJhIjoxfQ."), "<token>");
        assert_eq!(foreign(&format!("job {OURS}, {}", &OURS[..24])), "job <token>, <token>");
    }

    #[test]
    fn ordinary_words_stay() {
        for text in [
            "no handler for path \"/twirp/livekit.AgentDispatchService/Nope\"",
            "dial tcp my-project.livekit.cloud:443, version 1.13.5",
            "dispatch AD_tDqgyEjCH74Q not found",
        ] {
            assert_eq!(foreign(text), text);
        }
        for text in ["room heyJo", "gate gat_1", "the bearer", "http://127.0.0.1:8080/a@b", "ends with bearer "] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn a_foreign_text_is_one_short_printable_line() {
        assert_eq!(foreign("a\r\nb\u{1b}[31m\0c\u{202e}d\n"), "a  b [31m c d");
        let long = foreign(&"é ".repeat(500));
        assert_eq!(long.chars().count(), FOREIGN_CHARS_MAX);
        assert!(long.ends_with('…'));
        assert_eq!(foreign(&"a ".repeat(100)).chars().count(), 199);
    }

    #[test]
    fn what_looks_like_a_secret_is_masked_and_the_rest_stays() {
        assert_eq!(masked(&format!("{{\"a\":\"é {TOKEN}\"}}")), "{\"a\":\"é <token>\"}");
        assert_eq!(masked(&format!("x {OURS} y")), "x <token> y");
        assert_eq!(masked("sent Authorization: BEARER s3cret/+= and"), "sent Authorization: BEARER <token> and");
        assert_eq!(masked("redis://me:p@ss@10.0.0.1:6379/0 refused"), "redis://<token>@10.0.0.1:6379/0 refused");
        assert_eq!(masked("rediss://:s3cret@host"), "rediss://<token>@host");
        assert_eq!(masked("Bearer a Bearer b"), "Bearer <token> Bearer <token>");
    }
}
