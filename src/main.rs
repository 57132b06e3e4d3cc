//! The `greenroom` binary: arguments, settings, and on to [`greenroom::cli`].

use std::process::ExitCode;

use clap::Parser as _;
use greenroom::cli::{self, Cli};
use greenroom::config::process_environment;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // Fails only where a provider is installed already, and then there is one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match cli::run(cli, process_environment()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.report());
            error.exit_code()
        }
    }
}
