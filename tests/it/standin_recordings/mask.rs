//! Makes two answers comparable: ids, times and secrets become marks, lists without an order get one.

use std::collections::HashMap;

use serde_json::Value;

const TIMES: [&str; 12] = [
    "created_at",
    "started_at",
    "updated_at",
    "ended_at",
    "creation_time",
    "creation_time_ms",
    "joined_at",
    "joined_at_ms",
    "createdAt",
    "creationTime",
    "creationTimeMs",
    "joinedAt",
];

/// Which recorded id became which.
#[derive(Debug, Default)]
pub(super) struct Ids(HashMap<String, String>);

impl Ids {
    /// `value` with every recorded id that is known replaced by its counterpart.
    pub(super) fn translate(&self, value: &Value) -> Value {
        map_strings(value, &|text| self.0.get(text).cloned().unwrap_or_else(|| text.to_owned()))
    }

    /// Whether the id is one that a recorded id became.
    fn knows(&self, id: &str) -> bool {
        self.0.values().any(|known| known == id)
    }

    /// What is left to compare of a value. Ids that are known stay.
    pub(super) fn mask(&self, value: &Value) -> Value {
        self.mask_field("", value)
    }

    fn mask_field(&self, name: &str, value: &Value) -> Value {
        match value {
            Value::String(text) if TIMES.contains(&name) || name == "joinedAtMs" => {
                Value::from(if text == "0" { "0" } else { "<time>" })
            }
            Value::String(_) if matches!(name, "turn_password" | "turnPassword") => Value::from("<turn_password>"),
            Value::String(text) if is_id(text) && !self.knows(text) => Value::from(marked(text)),
            Value::String(text) => Value::from(shortened(text)),
            Value::Array(items) if matches!(name, "enabled_codecs" | "enabledCodecs") => {
                items.iter().take(1).cloned().collect()
            }
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(|item| self.mask_field("", item)).collect();
                items.sort_by_key(Value::to_string);
                Value::Array(items)
            }
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), self.mask_field(name, value))).collect()
            }
            other => other.clone(),
        }
    }

    /// Learns which recorded id became which, from two answers that are the same when masked.
    pub(super) fn learn(&mut self, recorded: &Value, found: &Value) {
        match (recorded, found) {
            (Value::String(recorded), Value::String(found)) if is_id(recorded) && recorded != found => {
                self.0.entry(recorded.clone()).or_insert_with(|| found.clone());
            }
            (Value::Array(recorded), Value::Array(found)) => {
                for (recorded, found) in self.sorted(recorded).into_iter().zip(self.sorted(found)) {
                    self.learn(recorded, found);
                }
            }
            (Value::Object(recorded), Value::Object(found)) => {
                for (name, recorded) in recorded {
                    if let Some(found) = found.get(name) {
                        self.learn(recorded, found);
                    }
                }
            }
            _ => {}
        }
    }

    fn sorted<'a>(&self, items: &'a [Value]) -> Vec<&'a Value> {
        let mut items: Vec<&Value> = items.iter().collect();
        items.sort_by_key(|item| self.mask(&self.translate(item)).to_string());
        items
    }
}

/// Whether the text is an id of the server's, or an identity made from one.
fn is_id(text: &str) -> bool {
    let Some((head, tail)) = text.rsplit_once('_') else { return false };
    let kind = head.rsplit('-').next().unwrap_or_default();
    kind.len() == 2
        && kind.chars().all(|letter| letter.is_ascii_uppercase())
        && (8..=14).contains(&tail.len())
        && tail.chars().all(|letter| letter.is_ascii_alphanumeric())
}

fn marked(id: &str) -> String {
    let (head, _) = id.rsplit_once('_').unwrap_or((id, ""));
    format!("<{head}>")
}

/// Long strings as the recorder cut them.
fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count < 2_000 {
        return text.to_owned();
    }
    let head: String = text.chars().take(40).collect();
    format!("{head}<…{count} characters in all>")
}

/// Long strings as they were before the recorder cut them.
pub(super) fn lengthened(value: &Value) -> Value {
    map_strings(value, &|text| {
        let restored = (|| {
            let (head, rest) = text.split_once("<…")?;
            let count: usize = rest.strip_suffix(" characters in all>")?.parse().ok()?;
            Some(head.chars().next()?.to_string().repeat(count))
        })();
        restored.unwrap_or_else(|| text.to_owned())
    })
}

fn map_strings(value: &Value, map: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::from(map(text)),
        Value::Array(items) => items.iter().map(|item| map_strings(item, map)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), map_strings(value, map))).collect(),
        other => other.clone(),
    }
}
