//! The table of operations: how long each may take, and when it is tried again. What is not in it cannot be named.

use std::time::Duration;

use super::Retry;
use crate::config::{self, Config};

/// Makes the operations and their rows of one table, so that neither is without the other.
macro_rules! operations {
    ($($name:ident: $word:literal, $setting:expr, $retry:expr, $who:ident, $what:literal;)+) => {
        /// Everything that has a time-out or is tried again.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation {
            $(#[doc = $what] $name,)+
        }

        impl Operation {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }

        static ROWS: &[Row] =
            &[$(Row { word: $word, setting: $setting, retry: $retry, is_for_callers: $who, what: $what },)+];
    };
}

struct Row {
    word: &'static str,
    /// The setting that has its time-out.
    setting: Option<&'static str>,
    retry: Option<Retry>,
    is_for_callers: bool,
    what: &'static str,
}

/// Three attempts, the second a second after the first.
const GENERAL: Retry = full_jitter(3, 1_000, 30_000);
const MODEL: Retry = full_jitter(3, 2_000, 60_000);
/// What is measured is soon out of date.
const TELEMETRY: Retry = full_jitter(2, 500, 5_000);

// Whom a row is for: whoever calls greenroom, such as workers and clients, or greenroom alone.
const CALLERS: bool = true;
const OWN: bool = false;

#[rustfmt::skip]
operations! {
    General: "general", None, Some(GENERAL), CALLERS,
    "What has no row of its own";
    HttpRequest: "http_request", Some("server.http_request_timeout_ms"), Some(GENERAL), CALLERS,
    "A request over HTTP, such as to greenroom; one that waits takes this on top of its wait";
    WebsocketConnect: "websocket_connect", Some("timeouts.websocket_connect_ms"), Some(GENERAL), CALLERS,
    "Opening a WebSocket";
    WebsocketMessage: "websocket_message", Some("timeouts.websocket_message_ms"), None, CALLERS,
    "Waiting for the next message of a WebSocket";
    SpeechToText: "speech_to_text", Some("timeouts.speech_to_text_ms"), Some(MODEL), CALLERS,
    "A call of a model that transcribes speech";
    LanguageModel: "language_model", Some("timeouts.language_model_ms"), Some(MODEL), CALLERS,
    "A call of a language model";
    TextToSpeech: "text_to_speech", Some("timeouts.text_to_speech_ms"), Some(MODEL), CALLERS,
    "A call of a model that speaks";
    AgentCreation: "agent_creation", Some("timeouts.agent_creation_ms"), None, CALLERS,
    "An agent's start, until it is ready";
    AgentExecution: "agent_execution", Some("timeouts.agent_execution_ms"), None, CALLERS,
    "One execution of an agent";
    BrowserAutomation: "browser_automation", Some("timeouts.browser_automation_ms"), None, CALLERS,
    "One piece of work in a headless browser";
    FilePreparation: "file_preparation", Some("timeouts.file_preparation_ms"), Some(GENERAL), CALLERS,
    "Fetching or converting a file";
    DatabaseQuery: "database_query", Some("timeouts.database_query_ms"), None, CALLERS,
    "A query of a database of yours";
    EventDelivery: "event_delivery", Some("timeouts.event_delivery_ms"), None, CALLERS,
    "Handing one event to whoever follows";
    Telemetry: "telemetry", None, Some(TELEMETRY), CALLERS,
    "Sending metrics, traces and reports of errors";
    RedisCommand: "redis_command", Some("redis.command_timeout_ms"), None, OWN,
    "A command or script of Redis";
    ProviderCall: "provider_call", Some("livekit.call_timeout_ms"), None, OWN,
    "A call of LiveKit";
    DispatchCreation: "dispatch_creation", Some("dispatch.creation_budget_ms"), None, OWN,
    "The creation of a dispatch with its repetitions";
    ProviderCleanup: "provider_cleanup", None, Some(CLEANUP), OWN,
    "Removing at LiveKit what nobody else knows of";
}

/// Begun at once and soon again: what is left at the provider serves a room twice.
pub const CLEANUP: Retry =
    Retry { attempts: 8, pause: Duration::from_millis(100), pause_max: Duration::from_secs(5), part_min: 0.5 };

const fn full_jitter(attempts: u32, pause_ms: u64, pause_ms_max: u64) -> Retry {
    let (pause, pause_max) = (Duration::from_millis(pause_ms), Duration::from_millis(pause_ms_max));
    Retry { attempts, pause, pause_max, part_min: 0.0 }
}

/// A time-out and what it may be set to, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout {
    /// As it is set.
    pub ms: u64,
    /// The least it may be.
    pub ms_min: u64,
    /// The most it may be.
    pub ms_max: u64,
    /// The setting.
    pub setting: &'static str,
    /// The variable that sets it.
    pub variable: &'static str,
}

impl Operation {
    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// The word for it, in metrics and answers.
    pub fn as_str(self) -> &'static str {
        self.row().word
    }

    /// What it is, in a line.
    pub fn what(self) -> &'static str {
        self.row().what
    }

    /// Whether its row is for whoever calls greenroom, too.
    pub fn is_for_callers(self) -> bool {
        self.row().is_for_callers
    }

    /// When it is tried again; none where it is not, or where settings say so.
    pub fn retry(self) -> Option<Retry> {
        self.row().retry
    }

    /// How long it may take.
    pub fn timeout(self, config: &Config) -> Option<Timeout> {
        let setting = self.row().setting?;
        let (ms_min, ms_max) = config::range_of(setting)?;
        let variable = config::variable_of(setting)?;
        Some(Timeout { ms: self.timeout_ms(config)?, ms_min, ms_max, setting, variable })
    }

    fn timeout_ms(self, config: &Config) -> Option<u64> {
        let timeouts = &config.timeouts;
        Some(match self {
            Self::General | Self::Telemetry | Self::ProviderCleanup => return None,
            Self::HttpRequest => config.server.http_request_timeout_ms,
            Self::WebsocketConnect => timeouts.websocket_connect_ms,
            Self::WebsocketMessage => timeouts.websocket_message_ms,
            Self::SpeechToText => timeouts.speech_to_text_ms,
            Self::LanguageModel => timeouts.language_model_ms,
            Self::TextToSpeech => timeouts.text_to_speech_ms,
            Self::AgentCreation => timeouts.agent_creation_ms,
            Self::AgentExecution => timeouts.agent_execution_ms,
            Self::BrowserAutomation => timeouts.browser_automation_ms,
            Self::FilePreparation => timeouts.file_preparation_ms,
            Self::DatabaseQuery => timeouts.database_query_ms,
            Self::EventDelivery => timeouts.event_delivery_ms,
            Self::RedisCommand => config.redis.command_timeout_ms,
            Self::ProviderCall => config.livekit.call_timeout_ms,
            Self::DispatchCreation => config.dispatch.creation_budget_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(env: &[(&str, &str)]) -> Config {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(None, env).expect("good settings")
    }

    #[test]
    fn the_defaults_are_those_that_are_promised() {
        let config = config(&[]);
        let told: Vec<_> = Operation::ALL
            .iter()
            .map(|operation| {
                let seconds = operation.timeout(&config).map(|timeout| timeout.ms / 1000);
                let retry = operation.retry().map(|retry| (retry.attempts, retry.pause.as_millis()));
                (operation.as_str(), seconds, retry)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("general", None, Some((3, 1000))),
                ("http_request", Some(10), Some((3, 1000))),
                ("websocket_connect", Some(15), Some((3, 1000))),
                ("websocket_message", Some(30), None),
                ("speech_to_text", Some(30), Some((3, 2000))),
                ("language_model", Some(60), Some((3, 2000))),
                ("text_to_speech", Some(45), Some((3, 2000))),
                ("agent_creation", Some(60), None),
                ("agent_execution", Some(300), None),
                ("browser_automation", Some(120), None),
                ("file_preparation", Some(60), Some((3, 1000))),
                ("database_query", Some(5), None),
                ("event_delivery", Some(2), None),
                ("telemetry", None, Some((2, 500))),
                ("redis_command", Some(2), None),
                ("provider_call", Some(10), None),
                ("dispatch_creation", Some(20), None),
                ("provider_cleanup", None, Some((8, 100))),
            ]
        );
        assert_eq!(Operation::LanguageModel.retry().unwrap().pause_max.as_secs(), 60);
    }

    #[test]
    fn each_time_out_is_within_its_bounds_and_set_by_a_variable_of_its_own() {
        let mut variables = std::collections::BTreeSet::new();
        for operation in Operation::ALL.iter().filter(|operation| operation.row().setting.is_some()) {
            let timeout = operation.timeout(&config(&[])).expect("a time-out");
            assert!((timeout.ms_min..=timeout.ms_max).contains(&timeout.ms), "{timeout:?}");
            assert!(variables.insert(timeout.variable), "{timeout:?}");
            let other = (timeout.ms - 1).to_string();
            let set = operation.timeout(&config(&[(timeout.variable, &other)])).expect("a time-out");
            assert_eq!(set.ms, timeout.ms - 1, "{} does not set {}", timeout.variable, operation.as_str());
        }
        assert_eq!(variables.len(), 15);
    }

    #[test]
    fn the_table_of_the_documents_is_this_one() {
        let page = include_str!("../../docs/operations.md");
        for operation in Operation::ALL {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", operation.as_str())));
            let row = row.unwrap_or_else(|| panic!("{} has no row in docs/operations.md", operation.as_str()));
            if let Some(setting) = operation.row().setting {
                assert!(row.contains(&format!("`{setting}`")), "{row}");
            }
        }
    }
}
