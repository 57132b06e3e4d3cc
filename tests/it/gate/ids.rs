//! Ids of leases and workers are random, and Redis sorts by them: it is told numbers in their place, so that a seed is
//! played the same way twice.

use std::collections::HashMap;

const KINDS: [&str; 2] = ["lse_0_", "wrk_0_"];
/// What a number begins with, and no id that was made by a clock.
const NUMBERED: &str = "00000000";
const DIGITS: usize = 32;

/// The numbers that ids got, in the order in which Redis heard of them.
#[derive(Default)]
pub(super) struct Ids(HashMap<String, String>);

impl Ids {
    pub(super) fn number_all(&mut self, words: &mut [Vec<u8>]) {
        for word in words {
            if let Ok(text) = std::str::from_utf8(word)
                && let Some(numbered) = self.number(text)
            {
                *word = numbered.into_bytes();
            }
        }
    }

    /// The text with numbers; none where it has no id.
    fn number(&mut self, text: &str) -> Option<String> {
        let mut numbered = String::new();
        let mut rest = text;
        while let Some((at, kind)) = KINDS.iter().filter_map(|kind| Some((rest.find(kind)?, kind))).min() {
            let end = at + kind.len() + DIGITS;
            let (before, id) = (rest.get(..at)?, rest.get(at..end)?);
            numbered.push_str(before);
            if id[kind.len()..].starts_with(NUMBERED) {
                numbered.push_str(id);
            } else {
                let next = self.0.len() + 1;
                let number = self.0.entry(id.to_owned()).or_insert_with(|| format!("{kind}{next:032x}"));
                numbered.push_str(number);
            }
            rest = &rest[end..];
        }
        numbered.push_str(rest);
        (rest.len() < text.len()).then_some(numbered)
    }
}
