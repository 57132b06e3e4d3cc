//! The command line: what may be asked for, and which function answers.
//!
//! Answers go to standard output, everything else to standard error. Exit codes: 0 done,
//! 1 failed, 2 the arguments or the settings cannot be used.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat};
use clap::{Parser, Subcommand};

use crate::access::{RATE_LIMIT_MAX, Scope};
use crate::config::{Config, ConfigError};

mod agent;
mod apikey;
mod breaker;
mod demo_worker;
mod dev;
mod doctor;
mod explain;
mod key;
mod migrate;
mod pool;
mod runner;
mod serve;
mod session;

pub use pool::{PoolArgs, WorkerArgs};
pub use runner::RunnerArgs;
pub use session::SessionArgs;

/// The exit code where the arguments or the settings cannot be used; clap's own, too.
const EXIT_USAGE: u8 = 2;

/// One agent per live room, over any number of replicas.
#[derive(Debug, Parser)]
#[command(name = "greenroom", version, arg_required_else_help = true)]
pub struct Cli {
    /// The settings' file; without it, the one that `GREENROOM_CONFIG` names. See config.default.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a replica
    Serve,
    /// Run everything on this machine, with a Redis of its own and a simulated provider
    Dev(DevArgs),
    /// Bring the Redis schema up to this version
    Migrate,
    /// Print the Redis keys of things, such as room:lobby
    Key(KeyArgs),
    /// Make, list and revoke API keys
    Apikey(ApiKeyArgs),
    /// Check settings, Redis and provider, and say what is wrong
    Doctor,
    /// Say why a room has, or has no, agent
    Explain(ExplainArgs),
    /// See circuit breakers, hold them in a state, reset them
    Breaker(BreakerArgs),
    /// Drain an agent before its deploy is taken down, or see how far that is
    Agent(AgentArgs),
    /// Run workers of a pool on this machine
    Runner(RunnerArgs),
    /// See pools of workers, how many there are and why
    Pool(PoolArgs),
    /// See workers of pools, take them out, bring them back
    Worker(WorkerArgs),
    /// See sessions of pools, end them
    Session(SessionArgs),
    /// The worker of the pool that `greenroom dev` shows
    #[command(hide = true)]
    DemoWorker,
}

/// The arguments of `greenroom agent`.
#[derive(Debug, clap::Args)]
pub struct AgentArgs {
    /// What to do
    #[command(subcommand)]
    pub command: AgentCommand,
    /// Whose agent is meant
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    pub tenant: String,
}

/// `greenroom agent …`
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Say whether it drains, and how many dispatches of it there are
    Get {
        /// The agent's name
        agent: String,
    },
    /// Make no new dispatch of it; those that run go on
    Drain {
        /// The agent's name
        agent: String,
    },
    /// Take that back
    Undrain {
        /// The agent's name
        agent: String,
    },
}

/// The arguments of `greenroom breaker`.
#[derive(Debug, clap::Args)]
pub struct BreakerArgs {
    /// What to do with breakers
    #[command(subcommand)]
    pub verb: BreakerVerb,
    /// Whose breakers are meant; greenroom's own are the default tenant's
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    pub tenant: String,
}

/// `greenroom breaker …`
#[derive(Debug, Subcommand)]
pub enum BreakerVerb {
    /// List all, with their states
    List,
    /// Show one, with its last changes of state
    Get {
        /// Its name, such as livekit.look
        breaker: String,
    },
    /// Hold one in a state, or let it go
    Force {
        /// Its name
        breaker: String,
        /// `auto` lets it go
        #[arg(value_parser = ["open", "closed", "disabled", "auto"])]
        state: String,
        /// For how long; without it, until it is let go
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_592_000))]
        duration_seconds: Option<u32>,
        /// Why, for whoever wonders
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Close one as if it were new
    Reset {
        /// Its name
        breaker: String,
    },
}

/// The arguments of `greenroom dev`.
#[derive(Debug, clap::Args)]
pub struct DevArgs {
    /// How many replicas to run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub replicas: u16,
    /// Where the first replica listens; without it, what the settings say
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
}

/// The arguments of `greenroom key`.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// Kind and name, such as room:lobby
    #[arg(required = true, value_name = "KIND:NAME")]
    pub things: Vec<String>,
    /// Whose rooms are meant
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub tenant: String,
}

/// The arguments of `greenroom apikey`.
#[derive(Debug, clap::Args)]
pub struct ApiKeyArgs {
    /// What to do with keys
    #[command(subcommand)]
    pub verb: ApiKeyVerb,
}

/// What can be done with API keys.
#[derive(Debug, Subcommand)]
pub enum ApiKeyVerb {
    /// Make a key, and print it: this once
    Create(CreateArgs),
    /// List all keys, without their secrets
    List,
    /// Revoke a key: within a second no replica takes it
    Revoke {
        /// Its id, such as `grk_17_…`: what stands before the dot
        id: String,
    },
}

/// The arguments of `greenroom apikey create`.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// What to call it: who uses it, say
    #[arg(long)]
    pub name: String,
    /// What it opens; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = scope)]
    pub scopes: Vec<Scope>,
    /// The tenant whose names alone it sees
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// How long it opens; without it, until it is revoked
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=315_360_000))]
    pub expires_in_seconds: Option<u32>,
    /// How many calls it may make a second; without it, as many as the settings say
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(RATE_LIMIT_MAX)))]
    pub rate_limit: Option<u32>,
}

fn scope(text: &str) -> Result<Scope, String> {
    let known = Scope::ALL.map(Scope::as_str).join(", ");
    Scope::parse(text).ok_or_else(|| format!("must be one of {known}"))
}

/// The arguments of `greenroom explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The room's name
    pub room: String,
    /// Whose room is meant
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub tenant: String,
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl CliError {
    /// What a script sees.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::from(EXIT_USAGE),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }

    /// The failure with its causes, for a person.
    pub fn report(&self) -> String {
        let first: &dyn std::error::Error = self;
        let causes = std::iter::successors(Some(first), |cause| cause.source());
        format!("greenroom: {}", causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
    }
}

/// Writes a line to standard output; a reader who has gone away is a failure like any other.
fn say(line: &str) -> Result<(), CliError> {
    writeln!(std::io::stdout().lock(), "{line}").context("standard output")?;
    Ok(())
}

/// A time of Redis's for a person, in UTC.
fn time(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(DateTime::from_timestamp_millis);
    at.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true)).unwrap_or_default()
}

/// Loads the settings and does what was asked. `env` is the process's environment.
pub async fn run(cli: Cli, env: impl Iterator<Item = (String, String)>) -> Result<(), CliError> {
    if let Command::DemoWorker = cli.command {
        // Its variables are those of its runner and its session: none is a setting.
        return demo_worker::run().await;
    }
    let config = Config::load(cli.config.as_deref(), env)?;
    match cli.command {
        Command::Serve => serve::run(config).await,
        Command::Dev(args) => dev::run(config, args).await,
        Command::Migrate => migrate::run(config).await,
        Command::Key(args) => key::run(config, args).await,
        Command::Apikey(args) => apikey::run(config, args).await,
        Command::Doctor => doctor::run(config).await,
        Command::Explain(args) => explain::run(config, args).await,
        Command::Breaker(args) => breaker::run(config, args).await,
        Command::Agent(command) => agent::run(config, command).await,
        Command::Runner(args) => runner::run(config, args).await,
        Command::Pool(args) => pool::pool(config, args).await,
        Command::Worker(args) => pool::worker(config, args).await,
        Command::Session(args) => session::run(config, args).await,
        Command::DemoWorker => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_take_their_arguments() {
        let cli = parse("greenroom dev --replicas 3 --listen 127.0.0.1:0 --config x.toml").expect("parsed");
        assert_eq!(cli.config, Some(PathBuf::from("x.toml")));
        assert!(matches!(cli.command, Command::Dev(DevArgs { replicas: 3, listen: Some(_) })));
        let cli = parse("greenroom key room:lobby room:a").expect("parsed");
        assert!(matches!(cli.command, Command::Key(KeyArgs { things, .. }) if things == ["room:lobby", "room:a"]));
        let cli = parse("greenroom explain lobby").expect("parsed");
        assert!(matches!(cli.command, Command::Explain(ExplainArgs { room, .. }) if room == "lobby"));
    }

    #[test]
    fn wrong_usage_exits_with_two() {
        for (line, kind) in [
            ("greenroom dev --replicas 0", ErrorKind::ValueValidation),
            ("greenroom key", ErrorKind::MissingRequiredArgument),
            ("greenroom apikey", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("greenroom apikey create --name a", ErrorKind::MissingRequiredArgument),
            ("greenroom apikey create --name a --scope all", ErrorKind::ValueValidation),
            ("greenroom sevre", ErrorKind::InvalidSubcommand),
            ("greenroom", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!((error.kind(), error.exit_code()), (kind, i32::from(EXIT_USAGE)), "{line}");
        }
    }

    #[tokio::test]
    async fn settings_that_cannot_be_used_are_not_a_failure_of_the_command() {
        let env = [("AGENT_TTL_SECONDS".to_owned(), "soon".to_owned())];
        let error = run(parse("greenroom doctor").expect("parsed"), env.into_iter()).await.expect_err("refused");
        assert_eq!(error.exit_code(), ExitCode::from(EXIT_USAGE));
        assert!(error.report().contains("AGENT_TTL_SECONDS"), "{}", error.report());
    }

    #[test]
    fn a_report_names_every_cause_once() {
        let cause = anyhow::anyhow!("connection refused").context("Redis is not reachable");
        let error = CliError::from(cause);
        assert_eq!(error.report(), "greenroom: Redis is not reachable: connection refused");
        assert_eq!(error.exit_code(), ExitCode::FAILURE);
    }
}
