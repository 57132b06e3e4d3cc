//! The three places that settings come from, each checked on its own.

use std::fmt;
use std::path::Path;

use toml::{Table, Value};

use super::error::{ConfigError, Problem};
use super::rules::{self, AGENT_RULES, Leaf, Rule};
use super::{DEFAULT_TOML, FILE_VARIABLE};
use crate::name::Name;

/// Variables with this prefix are ours, and must exist.
const PREFIX: &str = "GREENROOM_";

/// The process's environment, in the form that [`super::Config::load`] takes. What is not Unicode
/// is kept with replacement characters, so that it is refused rather than overlooked.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| (lossy(&name), lossy(&value)))
}

fn lossy(text: &std::ffi::OsStr) -> String {
    text.to_string_lossy().into_owned()
}

/// The built-in defaults.
pub(super) fn defaults(problems: &mut Vec<Problem>) -> Result<Table, ConfigError> {
    let table = parse(DEFAULT_TOML, &"config.default.toml")?;
    Ok(checked(table, &"config.default.toml", problems))
}

/// What the file sets.
pub(super) fn file(path: &Path, problems: &mut Vec<Problem>) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    Ok(checked(parse(&text, &path.display())?, &path.display(), problems))
}

/// What the variables set.
pub(super) fn environment(env: &[(String, String)], problems: &mut Vec<Problem>) -> Table {
    let leaves = rules::leaves();
    let mut table = Table::new();
    for (name, text) in env {
        if let Some(leaf) = leaves.iter().find(|leaf| leaf.variable == Some(name.as_str())) {
            let Some(rule) = rules::rule_of(&leaf.path()) else { continue };
            let value = rule.read(text);
            if !rule.allows(&value) {
                let text = format!("{name} {}; it sets {}", refusal(rule, leaf.key, &value), leaf.path());
                problems.push(Problem { name: name.clone(), text });
            } else if let Value::Table(section) = table.entry(leaf.section).or_insert_with(|| Table::new().into()) {
                section.insert(leaf.key.to_owned(), value);
            }
        } else if name.starts_with(PREFIX) && name != FILE_VARIABLE && !is_service_link(name, text) {
            let near = nearest_variable(name, &leaves);
            let text = format!("{name} is no variable of greenroom; did you mean {near}?");
            problems.push(Problem { name: name.clone(), text });
        }
    }
    table
}

/// Puts the settings of `upper` in the place of those of `lower`.
pub(super) fn lay_over(lower: &mut Table, upper: Table) {
    for (name, section) in upper {
        match (lower.get_mut(&name), section) {
            (Some(Value::Table(lower)), Value::Table(section)) => lower.extend(section),
            (_, section) => drop(lower.insert(name, section)),
        }
    }
}

fn parse(text: &str, origin: &dyn fmt::Display) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        ConfigError::Syntax { origin: origin.to_string(), line, detail: error.message().to_owned() }
    })
}

/// The settings of the table that exist and are good; the others become problems.
fn checked(table: Table, origin: &dyn fmt::Display, problems: &mut Vec<Problem>) -> Table {
    let leaves = rules::leaves();
    let mut good = Table::new();
    for (section, content) in table {
        if !leaves.iter().any(|leaf| leaf.section == section) {
            let near = nearest(&section, leaves.iter().map(|leaf| leaf.section.to_owned()));
            let text = format!("[{section}] in {origin} is no section; did you mean [{near}]?");
            problems.push(Problem { name: section, text });
            continue;
        }
        let Value::Table(content) = content else {
            let text = format!("{section} in {origin} must be a section: [{section}]");
            problems.push(Problem { name: section, text });
            continue;
        };
        let mut kept = Table::new();
        for (key, value) in content {
            let found = setting_problems(&section, &key, &value, &leaves, origin);
            if found.is_empty() {
                kept.insert(key, value);
            }
            problems.extend(found);
        }
        good.insert(section, kept.into());
    }
    good
}

fn setting_problems(
    section: &str,
    key: &str,
    value: &Value,
    leaves: &[Leaf],
    origin: &dyn fmt::Display,
) -> Vec<Problem> {
    let path = format!("{section}.{key}");
    let leaf = leaves.iter().find(|leaf| leaf.section == section && leaf.key == key);
    let (Some(leaf), Some(rule)) = (leaf, rules::rule_of(&path)) else {
        let near = nearest_setting(section, key, leaves);
        let text = format!("{path} in {origin} is no setting; did you mean {near}?");
        return vec![Problem { name: path, text }];
    };
    match value {
        Value::Table(agents) if matches!(rule, Rule::Agents) => agent_problems(agents, origin),
        _ if rule.allows(value) => Vec::new(),
        _ => {
            let variable = leaf.variable.map(|name| format!(" (variable {name})")).unwrap_or_default();
            let text = format!("{path} in {origin} {}{variable}", refusal(rule, key, value));
            vec![Problem { name: path, text }]
        }
    }
}

fn agent_problems(agents: &Table, origin: &dyn fmt::Display) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (agent, own) in agents {
        let path = format!("dispatch.agents.{agent}");
        let mut report = |name: &str, text: String| problems.push(Problem { name: name.to_owned(), text });
        if Name::strict(agent.as_str()).is_err() {
            let wants = Rule::Name.wants("");
            report(&path, format!("{agent:?} in [dispatch.agents] in {origin} is no agent's name; it must be {wants}"));
            continue;
        }
        let Value::Table(own) = own else {
            report(&path, format!("{path} in {origin} must be a section: [{path}]"));
            continue;
        };
        for (key, value) in own {
            let path = format!("{path}.{key}");
            match AGENT_RULES.iter().find(|(name, _)| name == key) {
                Some((_, rule)) if rule.allows(value) => {}
                Some((_, rule)) => report(&path, format!("{path} in {origin} {}", refusal(*rule, key, value))),
                None => {
                    let near = nearest(key, AGENT_RULES.iter().map(|(name, _)| (*name).to_owned()));
                    report(&path, format!("{path} in {origin} is no setting of an agent; did you mean {near}?"));
                }
            }
        }
    }
    problems
}

/// What the value is (unless it is secret) and what it must be.
fn refusal(rule: Rule, key: &str, value: &Value) -> String {
    let wants = rule.wants(key);
    if rule.is_secret() {
        let reason = rule.reason(value).map(|reason| format!(": {reason}")).unwrap_or_default();
        return format!("has a value that cannot be used (it is not shown){reason}; it must be {wants}");
    }
    let shown: String = serde_json::to_string(value).unwrap_or_default().chars().take(100).collect();
    format!("is {shown}; it must be {wants}")
}

/// Kubernetes sets these for every service of the namespace, and a service may well be called
/// `greenroom`: `GREENROOM_SERVICE_HOST`, `GREENROOM_PORT=tcp://…`, `GREENROOM_PORT_80_TCP_ADDR` …
fn is_service_link(name: &str, value: &str) -> bool {
    let protocols = ["_TCP", "_UDP", "_SCTP"];
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|start| value.starts_with(start));
    let stem = ["_PROTO", "_PORT", "_ADDR"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && is_address)
        || (name.contains("_PORT_") && protocols.iter().any(|end| stem.ends_with(end)))
}

/// The variable that was probably meant: also found by its setting's plain path, so that
/// `GREENROOM_DISPATCH_TTL_SECONDS` leads to `AGENT_TTL_SECONDS`.
fn nearest_variable(name: &str, leaves: &[Leaf]) -> String {
    let by_path = |leaf: &&Leaf| format!("{PREFIX}{}", leaf.path().replace('.', "_").to_uppercase()) == name;
    match leaves.iter().find(by_path).and_then(|leaf| leaf.variable) {
        Some(variable) => variable.to_owned(),
        None => nearest(name, leaves.iter().filter_map(|leaf| leaf.variable).map(str::to_owned)),
    }
}

/// The setting that was probably meant: also one of that name in another section.
fn nearest_setting(section: &str, key: &str, leaves: &[Leaf]) -> String {
    match leaves.iter().find(|leaf| leaf.key == key) {
        Some(leaf) => leaf.path(),
        None => nearest(&format!("{section}.{key}"), leaves.iter().map(Leaf::path)),
    }
}

fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> String {
    candidates.min_by_key(|candidate| strsim::damerau_levenshtein(name, candidate)).unwrap_or_default()
}
