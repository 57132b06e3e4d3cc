//! `greenroom runner --server URL --pool NAME -- COMMAND …`: workers of a pool on this machine.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use secrecy::{ExposeSecret as _, SecretString};

use super::CliError;
use crate::config::Config;
use crate::name::Name;
use crate::{runner, telemetry};

/// The arguments of `greenroom runner`. The key is that of the settings (`GREENROOM_API_KEY`), or in a file.
#[derive(Debug, clap::Args)]
pub struct RunnerArgs {
    /// The address of greenroom
    #[arg(long, value_name = "URL")]
    pub server: reqwest::Url,
    /// The pool whose workers it runs
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub pool: Name,
    /// Its name, which no other runner has; without it, the host's and the pool's
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: Option<Name>,
    /// How many workers it runs at most
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub capacity: u16,
    /// How workers are run
    #[arg(long, default_value = "process", value_parser = ["process"])]
    pub driver: String,
    /// Where each worker gets a directory of its own; without it, below the machine's one for temporary files
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// How long sessions may go on after SIGTERM
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub drain_seconds: u32,
    /// How often workers are asked how they are; without it, as greenroom says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub health_seconds: Option<u32>,
    /// A variable of its own that workers get as well; may be given several times
    #[arg(long = "env", value_name = "NAME", value_parser = variable)]
    pub passed: Vec<String>,
    /// A file with the API key, of the scope `worker`; without it, `GREENROOM_API_KEY`
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// What a worker is: it runs in a directory of its own
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

fn name(text: &str) -> Result<Name, String> {
    Name::strict(text).map_err(|error| error.to_string())
}

fn variable(text: &str) -> Result<String, String> {
    let is_key = text.eq_ignore_ascii_case("GREENROOM_API_KEY");
    let is_good = !text.is_empty() && !text.contains('=') && !is_key;
    is_good.then(|| text.to_owned()).ok_or_else(|| "must be the name of a variable, and not the key's".to_owned())
}

pub(super) async fn run(config: Config, args: RunnerArgs) -> Result<(), CliError> {
    let _logs = telemetry::init(&config.log).context("logs")?;
    let api_key = match &args.api_key_file {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("the key in {}", path.display()))?;
            Some(SecretString::from(text.trim()))
        }
        None => config.server.api_key,
    };
    let api_key = api_key.filter(|key| !key.expose_secret().is_empty());
    let options = runner::Options {
        server: args.server,
        api_key: api_key.ok_or_else(|| anyhow!("no API key: set GREENROOM_API_KEY, or give --api-key-file"))?,
        pool: args.pool,
        name: args.name,
        capacity: usize::from(args.capacity),
        work_dir: args.work_dir.unwrap_or_else(|| std::env::temp_dir().join("greenroom-runners")),
        drain: Duration::from_secs(args.drain_seconds.into()),
        health_seconds: args.health_seconds.map(u64::from),
        passed: args.passed,
        command: args.command,
    };
    Ok(runner::run(options).await?)
}
