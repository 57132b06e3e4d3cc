//! The category of a failure whose reporter gives none: by its code, its HTTP status, or what it says.

use super::Category;

/// Words of codes and messages, as they begin, in the order in which they are looked for: the more telling first.
const WORDS: &[(Category, &[&str])] = &[
    (Category::Cancelled, &["cancelled", "canceled", "abort", "interrupted", "keyboardinterrupt"]),
    (Category::Timeout, &["timed out", "timeout", "time-out", "timedout", "etimedout", "deadline"]),
    (
        Category::RateLimit,
        &[
            "rate limit",
            "rate_limit",
            "ratelimit",
            "too many requests",
            "too_many_requests",
            "quota",
            "throttl",
            "resource_exhausted",
        ],
    ),
    (
        Category::Auth,
        &[
            "unauthorized",
            "unauthenticated",
            "authentication",
            "invalid api key",
            "invalid token",
            "token expired",
            "expired token",
            "bad credentials",
            "login failed",
        ],
    ),
    (Category::Permission, &["forbidden", "permission", "access denied", "not allowed", "eacces", "eperm"]),
    (
        Category::Resource,
        &[
            "out of memory",
            "oom",
            "outofmemory",
            "memoryerror",
            "no space",
            "enospc",
            "enomem",
            "emfile",
            "too many open files",
            "disk full",
            "exhausted",
        ],
    ),
    (
        Category::Network,
        &[
            "econnrefused",
            "econnreset",
            "connection",
            "connect",
            "broken pipe",
            "epipe",
            "dns",
            "no such host",
            "unreachable",
            "enotfound",
            "ehostunreach",
            "socket",
            "network",
            "tls",
            "certificate",
            "eof",
        ],
    ),
    (Category::Conflict, &["conflict", "already exists", "already_exists", "eexist", "stale", "version mismatch"]),
    (
        Category::NotFound,
        &["not found", "not_found", "notfound", "no such", "does not exist", "enoent", "keyerror", "filenotfound"],
    ),
    (
        Category::Validation,
        &[
            "invalid",
            "malformed",
            "validation",
            "must be",
            "must not",
            "missing field",
            "missing required",
            "parse",
            "syntax",
            "unexpected token",
            "schema",
            "valueerror",
            "bad request",
        ],
    ),
    (
        Category::Dependency,
        &["unavailable", "bad gateway", "upstream", "overloaded", "service down", "failed_precondition"],
    ),
    (
        Category::Internal,
        &["internal", "panic", "assertion", "typeerror", "nullpointer", "segfault", "segmentation", "undefined"],
    ),
];

/// Statuses of HTTP.
const STATUSES: &[(Category, &[u16])] = &[
    (Category::Validation, &[400, 405, 406, 411, 413, 414, 415, 417, 422, 431]),
    (Category::Auth, &[401, 407]),
    (Category::Permission, &[402, 403, 451]),
    (Category::NotFound, &[404, 410]),
    (Category::Timeout, &[408, 504]),
    (Category::Conflict, &[409, 412, 423, 425, 428]),
    (Category::RateLimit, &[429]),
    (Category::Cancelled, &[499]),
    (Category::Internal, &[500, 501]),
    (Category::Dependency, &[502, 503, 521, 522, 523]),
    (Category::Resource, &[507]),
];

/// The category. A code tells more than a status, and a status more than a message.
pub fn guess(code: Option<&str>, status: Option<u16>, message: &str) -> Category {
    let by_status = || {
        let status = status?;
        STATUSES.iter().find(|(_, statuses)| statuses.contains(&status)).map(|(category, _)| *category)
    };
    code.and_then(by_words).or_else(by_status).or_else(|| by_words(message)).unwrap_or(Category::Internal)
}

/// The words that speak for the category.
pub fn words(category: Category) -> &'static [&'static str] {
    WORDS.iter().find(|(of, _)| *of == category).map(|(_, words)| *words).unwrap_or_default()
}

/// The statuses that speak for the category.
pub fn statuses(category: Category) -> &'static [u16] {
    STATUSES.iter().find(|(of, _)| *of == category).map(|(_, statuses)| *statuses).unwrap_or_default()
}

fn by_words(text: &str) -> Option<Category> {
    let text = text.to_lowercase();
    WORDS.iter().find(|(_, words)| words.iter().any(|word| has_word(&text, word))).map(|(category, _)| *category)
}

/// Whether a word of the text begins so: `oom` is in `OOMKilled`, and not in `room`.
fn has_word(text: &str, start: &str) -> bool {
    text.match_indices(start).any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_what_it_is_is_understood() {
        for (code, status, message, expected) in [
            (Some("ECONNREFUSED"), None, "connect 10.0.0.1:443", Category::Network),
            (Some("ETIMEDOUT"), Some(500), "x", Category::Timeout),
            (Some("E42"), Some(429), "invalid", Category::RateLimit),
            (Some("AbortError"), None, "", Category::Cancelled),
            (Some("RESOURCE_EXHAUSTED"), None, "", Category::RateLimit),
            (None, Some(401), "x", Category::Auth),
            (None, Some(503), "x", Category::Dependency),
            (None, Some(299), "permission denied", Category::Permission),
            (None, None, "Connection timed out after 5 s", Category::Timeout),
            (None, None, "dial tcp: no such host", Category::Network),
            (None, None, "container was OOMKilled", Category::Resource),
            (None, None, "room lobby does not exist", Category::NotFound),
            (None, None, "invalid token", Category::Auth),
            (None, None, "invalid value for `n`", Category::Validation),
            (None, None, "the row already exists", Category::Conflict),
            (None, None, "model is overloaded", Category::Dependency),
            (None, None, "zoom zoom", Category::Internal),
            (None, None, "", Category::Internal),
        ] {
            assert_eq!(guess(code, status, message), expected, "{code:?} {status:?} {message:?}");
        }
    }

    #[test]
    fn every_category_can_be_guessed() {
        for category in Category::ALL {
            assert!(!statuses(*category).is_empty() || !words(*category).is_empty(), "{category:?}");
            for word in words(*category) {
                assert_eq!(*word, word.to_lowercase(), "compared in small letters");
            }
        }
        let mut all: Vec<_> = STATUSES.iter().flat_map(|(_, statuses)| *statuses).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "a status speaks for one category");
    }
}
