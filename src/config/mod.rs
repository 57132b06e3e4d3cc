//! The settings: `config.default.toml` < a file < environment variables.
//!
//! Every value is checked where it comes from, before the three are laid over each other, so
//! that a complaint names the file or the variable to mend; then those that depend on each other
//! are compared. Nothing here reads the process's environment: it is handed in.

use std::path::Path;

use confique::Config as _;

mod breaker;
mod error;
mod pool;
mod relations;
mod resilience;
mod rules;
mod settings;
mod sources;
#[cfg(test)]
mod tests;
mod timeouts;

pub use breaker::Breaker;
pub use error::{ConfigError, Problem};
pub use pool::Pool;
pub use resilience::{Alerts, Errors};
pub use rules::{range_of, variable_of};
pub use settings::{
    AgentSettings, Dispatch, Leader, LiveKit, LiveKitCredentials, Log, LogFormat, ProviderKind, Redis, ReturnPolicy,
    Server,
};
pub use sources::process_environment;
pub use timeouts::Timeouts;

/// The commented default settings, as they are built into the binary.
pub const DEFAULT_TOML: &str = include_str!("../../config.default.toml");

/// Names the settings' file where the command line does not.
pub const FILE_VARIABLE: &str = "GREENROOM_CONFIG";

/// All settings. Its `Debug` shows no secret.
#[derive(Debug, Clone, confique::Config)]
pub struct Config {
    /// How a replica is reached, and how it stops.
    #[config(nested)]
    pub server: Server,
    /// Where the state is.
    #[config(nested)]
    pub redis: Redis,
    /// The LiveKit server.
    #[config(nested)]
    pub livekit: LiveKit,
    /// When an agent is reused, made again and ended.
    #[config(nested)]
    pub dispatch: Dispatch,
    /// How long operations of workers and clients may take.
    #[config(nested)]
    pub timeouts: Timeouts,
    /// The circuit breakers around calls of the provider.
    #[config(nested)]
    pub breaker: Breaker,
    /// How a pool is that nobody defined.
    #[config(nested)]
    pub pool: Pool,
    /// The elected replica.
    #[config(nested)]
    pub leader: Leader,
    /// What is logged, and how.
    #[config(nested)]
    pub log: Log,
    /// How failures are told and remembered.
    #[config(nested)]
    pub errors: Errors,
    /// From when on somebody is told.
    #[config(nested)]
    pub alerts: Alerts,
}

impl Config {
    /// The settings from the file (`path`, else what `GREENROOM_CONFIG` in `env` names, else none)
    /// and the variables in `env`, over the defaults.
    pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let env: Vec<_> = env.filter(|(_, value)| !value.is_empty()).collect();
        let named = env.iter().find(|(name, _)| name == FILE_VARIABLE).map(|(_, value)| Path::new(value));

        let mut problems = Vec::new();
        let mut merged = sources::defaults(&mut problems)?;
        if let Some(path) = path.or(named) {
            sources::lay_over(&mut merged, sources::file(path, &mut problems)?);
        }
        sources::lay_over(&mut merged, sources::environment(&env, &mut problems));
        if !problems.is_empty() {
            return Err(ConfigError::Invalid { problems });
        }

        let config = merged.try_into().map_err(|e: toml::de::Error| e.message().to_owned());
        let config = config.and_then(|layer| Self::from_layer(layer).map_err(|e| e.to_string()));
        // Every value was checked: what does not fit now is a rule that is too lax.
        let config =
            config.map_err(|text| ConfigError::Invalid { problems: vec![Problem { name: String::new(), text }] })?;
        config.check()?;
        Ok(config)
    }

    /// Whether the settings go together. Done by [`Config::load`]; for those who change some afterwards.
    pub fn check(&self) -> Result<(), ConfigError> {
        let problems = relations::check(self);
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid { problems }) }
    }

    /// Whether a replica can serve with the settings: the key and the provider's are there. The commands that
    /// serve nothing do without.
    pub fn check_serving(&self) -> Result<(), ConfigError> {
        let problems = relations::check_serving(self);
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid { problems }) }
    }
}
