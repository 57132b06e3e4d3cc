//! The section of the settings that is told to workers and clients.

use confique::Config as Section;

/// `[timeouts]`: how long operations of workers and clients may take.
#[derive(Debug, Clone, Section)]
pub struct Timeouts {
    /// How long opening a WebSocket may take.
    #[config(env = "GREENROOM_TIMEOUTS_WEBSOCKET_CONNECT_MS")]
    pub websocket_connect_ms: u64,
    /// How long to wait for the next message of a WebSocket.
    #[config(env = "GREENROOM_TIMEOUTS_WEBSOCKET_MESSAGE_MS")]
    pub websocket_message_ms: u64,
    /// How long a call of a model that transcribes speech may take.
    #[config(env = "GREENROOM_TIMEOUTS_SPEECH_TO_TEXT_MS")]
    pub speech_to_text_ms: u64,
    /// How long a call of a language model may take.
    #[config(env = "GREENROOM_TIMEOUTS_LANGUAGE_MODEL_MS")]
    pub language_model_ms: u64,
    /// How long a call of a model that speaks may take.
    #[config(env = "GREENROOM_TIMEOUTS_TEXT_TO_SPEECH_MS")]
    pub text_to_speech_ms: u64,
    /// How long an agent's start may take, until it is ready.
    #[config(env = "GREENROOM_TIMEOUTS_AGENT_CREATION_MS")]
    pub agent_creation_ms: u64,
    /// How long one execution of an agent may take.
    #[config(env = "GREENROOM_TIMEOUTS_AGENT_EXECUTION_MS")]
    pub agent_execution_ms: u64,
    /// How long one piece of work in a headless browser may take.
    #[config(env = "GREENROOM_TIMEOUTS_BROWSER_AUTOMATION_MS")]
    pub browser_automation_ms: u64,
    /// How long fetching or converting a file may take.
    #[config(env = "GREENROOM_TIMEOUTS_FILE_PREPARATION_MS")]
    pub file_preparation_ms: u64,
    /// How long a query of a database of yours may take.
    #[config(env = "GREENROOM_TIMEOUTS_DATABASE_QUERY_MS")]
    pub database_query_ms: u64,
    /// How long handing one event to whoever follows may take.
    #[config(env = "GREENROOM_TIMEOUTS_EVENT_DELIVERY_MS")]
    pub event_delivery_ms: u64,
}
