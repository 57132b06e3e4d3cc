//! What each category usually is, and what its readers are told.

use super::{Category, Class, Severity};

/// What is told of a category.
#[derive(Debug, Clone, Copy)]
pub struct Texts {
    /// What it is.
    pub title: &'static str,
    /// For an end user: says nothing of how anything is built.
    pub user_message: &'static str,
    /// For a developer or an operator.
    pub suggestions: &'static [&'static str],
}

const SOON: &str = "This did not work just now. Please try again in a moment.";
const BUSY: &str = "There is a lot going on right now. Please try again in a moment.";
const OURS: &str = "Something went wrong on our side. Please try again later.";
const NO_ACCESS: &str = "You do not have access to this.";

impl Category {
    /// What a failure of the category counts as where nothing else is known.
    pub fn class(self) -> Class {
        use Severity::{High, Low, Medium};
        let (severity, retryable) = match self {
            Self::Network | Self::Timeout | Self::RateLimit => (Medium, true),
            Self::Resource | Self::Dependency => (High, true),
            Self::Auth | Self::Internal => (High, false),
            Self::Permission => (Medium, false),
            Self::Validation | Self::NotFound | Self::Conflict | Self::Cancelled => (Low, false),
        };
        Class { category: self, severity, retryable }
    }

    /// What is told of it.
    pub fn texts(self) -> Texts {
        let (title, user_message, suggestions): (_, _, &'static [&'static str]) = match self {
            Self::Network => (
                "The connection failed",
                SOON,
                &["Check name, address, firewall and certificate of the other side.", "Try again, with backoff."],
            ),
            Self::Timeout => (
                "It took too long",
                SOON,
                &[
                    "Try again, with backoff: what was begun may have been done.",
                    "Look how long it usually takes, and whether the time-out allows it.",
                ],
            ),
            Self::Auth => (
                "The credentials were not accepted",
                NO_ACCESS,
                &[
                    "Check key, secret and clock: a token may have expired.",
                    "Do not try again with the same credentials.",
                ],
            ),
            Self::Permission => (
                "It is not allowed",
                NO_ACCESS,
                &["Give the caller the right that it needs, or have another one call."],
            ),
            Self::RateLimit => (
                "Too many calls",
                BUSY,
                &["Wait as long as the answer says, and spread the calls.", "Raise the limit where it is yours."],
            ),
            Self::Resource => (
                "Something ran out",
                BUSY,
                &[
                    "Look at memory, space and open files of the process and its machine.",
                    "Give it more, or less to do.",
                ],
            ),
            Self::Validation => (
                "The request makes no sense",
                "Something in the request was not right. Please check what you entered.",
                &["Mend what is sent: the message says what is wrong with it.", "Do not repeat it unchanged."],
            ),
            Self::NotFound => (
                "There is no such thing",
                "This is not there any more.",
                &["Check the name; it may have ended, or never been there."],
            ),
            Self::Conflict => (
                "It clashes with what is",
                "Somebody was faster. Please reload and try again.",
                &["Read the present state, and decide anew."],
            ),
            Self::Dependency => (
                "A service that this one rests on failed",
                SOON,
                &["Look at the other service: its status, its log, its limits.", "Try again, with backoff."],
            ),
            Self::Internal => (
                "A defect",
                OURS,
                &["Look at the samples and the log: this is to be mended in the code.", "Report it with a sample."],
            ),
            Self::Cancelled => (
                "It was given up",
                "This was stopped before it was done.",
                &["Nothing, where somebody meant to. Else look who stopped it, and why."],
            ),
        };
        Texts { title, user_message, suggestions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_has_words_for_its_readers() {
        for category in Category::ALL {
            let texts = category.texts();
            assert!(!texts.title.is_empty() && texts.user_message.ends_with('.'), "{category:?}");
            assert!(texts.suggestions.iter().all(|text| text.ends_with('.')) && !texts.suggestions.is_empty());
            assert_eq!(category.class().category, *category);
        }
    }
}
