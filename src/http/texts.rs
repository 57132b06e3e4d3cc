//! The words that callers and end users read: those of the catalogues, or those of the operator's file, in the
//! language that the caller prefers.

use std::collections::BTreeMap;
use std::path::Path;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;
use serde::Deserialize;

use super::problem::Code;
use crate::error_report::Category;

const FILE_BYTES_MAX: u64 = 1 << 20;
const LANGUAGES_MAX: usize = 100;
const TEXT_CHARS_MAX: usize = 500;
const SUGGESTIONS_MAX: usize = 10;
/// How many languages of a caller are looked at.
const PREFERENCES_MAX: usize = 20;
/// The language of the catalogues.
const BUILT_IN: &str = "en";

/// The texts of a replica.
#[derive(Debug, Default)]
pub struct Texts {
    /// By language, in small letters.
    languages: BTreeMap<String, OwnTexts>,
}

/// What the file has for a language.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnTexts {
    /// By the code of a problem.
    #[serde(default)]
    codes: BTreeMap<String, OwnText>,
    /// By the category of a failure.
    #[serde(default)]
    categories: BTreeMap<String, OwnText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnText {
    title: Option<String>,
    user_message: Option<String>,
    suggestions: Option<Vec<String>>,
}

/// The words for something, each from where it is.
#[derive(Debug, Clone)]
pub(super) struct Wording<'a> {
    pub(super) title: &'a str,
    pub(super) user_message: &'a str,
    pub(super) suggestions: Vec<&'a str>,
}

/// A language of the file; none is that of the catalogues.
pub(super) type Language<'a> = Option<&'a str>;

impl Texts {
    /// The texts of the file, or what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, String> {
        let told = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
        if std::fs::metadata(path).map_err(told)?.len() > FILE_BYTES_MAX {
            return Err(format!("{} has more than {FILE_BYTES_MAX} bytes", path.display()));
        }
        let text = std::fs::read_to_string(path).map_err(told)?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let found: BTreeMap<String, OwnTexts> = toml::from_str(text).map_err(|error| error.to_string())?;
        if found.len() > LANGUAGES_MAX {
            return Err(format!("more than {LANGUAGES_MAX} languages"));
        }
        let mut languages = BTreeMap::new();
        for (tag, own) in found {
            if !is_language(&tag) {
                return Err(format!("[{tag}] is no language, such as de or pt-BR"));
            }
            own.check().map_err(|error| format!("[{tag}.{error}"))?;
            if languages.insert(tag.to_lowercase(), own).is_some() {
                return Err(format!("[{tag}] is there twice"));
            }
        }
        Ok(Self { languages })
    }

    /// The language that the caller prefers of those that there are.
    pub(super) fn language(&self, headers: &HeaderMap) -> Language<'_> {
        if self.languages.is_empty() {
            return None;
        }
        let wanted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut wanted: Vec<_> = wanted.split(',').take(PREFERENCES_MAX).filter_map(preference).collect();
        // Stable: of those that are liked alike, the first.
        wanted.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (tag, _) in &wanted {
            let primary = tag.split('-').next().unwrap_or_default();
            if let Some((known, _)) =
                self.languages.get_key_value(tag.as_str()).or_else(|| self.languages.get_key_value(primary))
            {
                return Some(known);
            }
            if primary == BUILT_IN || tag == "*" {
                break;
            }
        }
        None
    }

    /// The words for a problem.
    pub(super) fn of_code(&self, code: Code, language: Language<'_>) -> Wording<'_> {
        let entry = code.entry();
        let built_in =
            Wording { title: entry.title, user_message: entry.user_message, suggestions: entry.suggestions.to_vec() };
        self.instead_of(built_in, language, |own| own.codes.get(entry.code))
    }

    /// The words for a category of failures.
    pub(super) fn of_category(&self, category: Category, language: Language<'_>) -> Wording<'_> {
        let texts = category.texts();
        let built_in =
            Wording { title: texts.title, user_message: texts.user_message, suggestions: texts.suggestions.to_vec() };
        self.instead_of(built_in, language, |own| own.categories.get(category.as_str()))
    }

    /// What the file has stands for what is built in; what it has for everybody, for what it has not in the language.
    fn instead_of<'a>(
        &'a self,
        mut wording: Wording<'a>,
        language: Language<'_>,
        find: impl Fn(&'a OwnTexts) -> Option<&'a OwnText>,
    ) -> Wording<'a> {
        for language in [Some(BUILT_IN), language].into_iter().flatten() {
            let Some(own) = self.languages.get(language).and_then(&find) else { continue };
            wording.title = own.title.as_deref().unwrap_or(wording.title);
            wording.user_message = own.user_message.as_deref().unwrap_or(wording.user_message);
            if let Some(suggestions) = &own.suggestions {
                wording.suggestions = suggestions.iter().map(String::as_str).collect();
            }
        }
        wording
    }
}

impl OwnTexts {
    fn check(&self) -> Result<(), String> {
        let is_code = |name: &str| Code::ALL.iter().any(|code| code.entry().code == name);
        if let Some(unknown) = self.codes.keys().find(|name| !is_code(name)) {
            return Err(format!("codes.{unknown}] names no code of docs/errors.md"));
        }
        if let Some(unknown) = self.categories.keys().find(|name| Category::parse(name).is_none()) {
            return Err(format!("categories.{unknown}] names no category of failures"));
        }
        for (name, own) in self.codes.iter().chain(&self.categories) {
            let suggestions = own.suggestions.iter().flatten();
            let texts = own.title.iter().chain(&own.user_message).chain(suggestions.clone());
            let is_good = |text: &String| {
                let printable = !text.chars().any(char::is_control) && !text.trim().is_empty();
                printable && text.chars().count() <= TEXT_CHARS_MAX
            };
            if !texts.clone().all(is_good) {
                return Err(format!(
                    "….{name}] has a text that is empty, not on one line, or longer than {TEXT_CHARS_MAX}"
                ));
            }
            let count = suggestions.count();
            if count > SUGGESTIONS_MAX || (own.suggestions.is_some() && count == 0) {
                return Err(format!("….{name}] must have 1 to {SUGGESTIONS_MAX} suggestions"));
            }
        }
        Ok(())
    }
}

/// Subtags of letters and digits, with `-` between them.
fn is_language(tag: &str) -> bool {
    let is_subtag = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    tag.len() <= 35 && tag.split('-').all(is_subtag) && tag.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// A language of `Accept-Language`, and how well it is liked.
fn preference(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let tag = parts.next()?.to_lowercase();
    let liked = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.trim().parse::<f32>().ok())?;
    (liked > 0.0 && (tag == "*" || is_language(&tag))).then_some((tag, liked))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
        [en.codes.timeout]
        user_message = 'Still working on it.'
        [de.codes.timeout]
        title = 'Keine Antwort'
        suggestions = ['Noch einmal.']
        [de.categories.network]
        user_message = 'Die Verbindung ist gestört.'
        [pt-BR.codes.internal]
        user_message = 'Algo deu errado.'
    ";

    fn language<'a>(texts: &'a Texts, wanted: &str) -> Language<'a> {
        texts.language(&HeaderMap::from_iter([(ACCEPT_LANGUAGE, wanted.parse().unwrap())]))
    }

    #[test]
    fn the_language_that_is_liked_best_of_those_that_there_are_is_spoken() {
        let texts = Texts::parse(FILE).unwrap();
        for (wanted, expected) in [
            ("de", Some("de")),
            ("DE-ch", Some("de")),
            ("pt-br", Some("pt-br")),
            ("pt", None),
            ("fr, de;q=0.5", Some("de")),
            ("de;q=0.1, en;q=0.9", Some("en")),
            ("de;q=0", None),
            ("fr, *", None),
            ("", None),
            ("de;q=x, ;;;, 🦀", None),
        ] {
            assert_eq!(
                texts.language(&HeaderMap::from_iter(wanted.parse().map(|v| (ACCEPT_LANGUAGE, v)))),
                expected,
                "{wanted}"
            );
        }
        assert_eq!(texts.language(&HeaderMap::new()), None);
        assert_eq!(language(&Texts::default(), "de"), None);
    }

    #[test]
    fn what_the_file_has_stands_for_what_is_built_in() {
        let texts = Texts::parse(FILE).unwrap();
        let german = texts.of_code(Code::Timeout, language(&texts, "de"));
        assert_eq!((german.title, german.suggestions), ("Keine Antwort", vec!["Noch einmal."]));
        assert_eq!(german.user_message, "Still working on it.", "the operator's words before those built in");
        assert_eq!(texts.of_code(Code::Timeout, None).user_message, "Still working on it.");
        assert_eq!(texts.of_code(Code::Internal, Some("de")).user_message, Code::Internal.entry().user_message);
        assert_eq!(texts.of_category(Category::Network, Some("de")).user_message, "Die Verbindung ist gestört.");
        assert_eq!(texts.of_category(Category::Network, None).user_message, Category::Network.texts().user_message);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        let long = format!("[de.codes.timeout]\ntitle = '{}'", "x".repeat(TEXT_CHARS_MAX + 1));
        for (file, told) in [
            ("[de.codes.time_out]\ntitle = 'x'", "codes.time_out"),
            ("[de.categories.net]\ntitle = 'x'", "categories.net"),
            ("[de.codes.timeout]\ntitel = 'x'", "titel"),
            ("[de.code.timeout]\ntitle = 'x'", "code"),
            ("['d e'.codes.timeout]\ntitle = 'x'", "no language"),
            ("[de.codes.timeout]\ntitle = ''", "timeout"),
            ("[de.codes.timeout]\nsuggestions = []", "1 to 10 suggestions"),
            ("[de.codes.timeout]\ntitle = \"a\\nb\"", "one line"),
            ("[de.codes.timeout]\ntitle = 'x'\n[DE.codes.timeout]\ntitle = 'y'", "twice"),
            (long.as_str(), "longer than"),
            ("[de", "expected"),
        ] {
            let refused = Texts::parse(file).unwrap_err();
            assert!(refused.contains(told), "{file}: {refused}");
        }
        assert!(Texts::load(Path::new("/nowhere/texts.toml")).unwrap_err().contains("/nowhere/texts.toml"));
    }
}
