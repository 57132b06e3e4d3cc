//! A runner: the process on a node that starts workers of one pool, and gives sessions to them as the server says.
//!
//! ```text
//!   server ◀── sync.rs: one call at a time, outward ──┬── worker.rs ── life.rs ── stdin, stdout ── the worker
//!                                                     ├── worker.rs …                 │
//!                                                     └── …                       drivers/: started, looked at, ended
//! ```
//!
//! - The server decides, the runner does: `sync.rs` tells what there is and hands on what is wanted (`call.rs` is how).
//! - Each worker is a task of its own (`worker.rs`), which alone touches its process (`life.rs`); what they say to each
//!   other are frames (`frames.rs`). `reset.rs` is the proof that a session was forgotten.
//! - A runner without a server keeps what it has: sessions go on. A runner that dies takes its workers along.
//!
//! Everything has a bound: the workers (capacity), those that start at a time (`starts.rs`), frames, lines, answers,
//! instructions that wait, and every wait.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tracing::field::Empty;

use crate::name::Name;

mod call;
mod drivers;
pub mod frames;
mod life;
mod log;
mod place;
mod reset;
mod starts;
mod sync;
mod worker;

/// How often health is asked for where nobody says.
const HEALTH_SECONDS: u64 = 30;

/// How a runner is to work.
#[derive(Debug)]
pub struct Options {
    /// The server's address.
    pub server: reqwest::Url,
    /// The key of the scope `worker`.
    pub api_key: SecretString,
    /// The pool that it serves.
    pub pool: Name,
    /// Its name, which is no other runner's; without it that of the host and the pool.
    pub name: Option<Name>,
    /// How many workers it has at most.
    pub capacity: usize,
    /// Where its workers have their directories.
    pub work_dir: PathBuf,
    /// How long sessions may go on after it was asked to stop.
    pub drain: Duration,
    /// How often health is asked for; without it, as the server says.
    pub health_seconds: Option<u64>,
    /// Variables of its own that workers get.
    pub passed: Vec<String>,
    /// What a worker is: a command and its arguments.
    pub command: Vec<String>,
}

/// What all parts of a runner know.
#[derive(Debug)]
struct Spec {
    pool: Name,
    boot: String,
    host: String,
    driver: drivers::Driver,
    place: place::Place,
    starts: starts::Starts,
    /// Something is to be told to the server.
    changed: Notify,
    health_seconds: AtomicU64,
    is_health_own: bool,
}

impl Spec {
    /// How often health is asked for.
    fn health(&self) -> Duration {
        Duration::from_secs(self.health_seconds.load(Ordering::Relaxed).max(1))
    }

    /// As the server says, unless it was said here.
    fn set_health(&self, seconds: u64) {
        if !self.is_health_own {
            self.health_seconds.store(seconds, Ordering::Relaxed);
        }
    }
}

/// Runs until it is asked to stop, and its sessions have ended.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let asked = asked_to_stop().context("signals")?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let name = match options.name {
        Some(name) => name,
        None => Name::strict(format!("{host}-{}", options.pool.as_str())).context("the host's name: give a --name")?,
    };
    let name = name.as_str();
    let caller = call::Caller::new(&options.server, name, &options.api_key)?;
    let place = place::Place::take(&options.work_dir, name)?;
    let driver = drivers::Driver::process(name.to_owned(), options.command, options.passed).context("the driver")?;
    let swept = driver.sweep().await;
    place.clear()?;
    let pool = options.pool.as_str();
    tracing::info!(line.kept = Empty, runner = name, pool, capacity = options.capacity, swept, "a runner begins");
    let spec = Spec {
        boot: uuid::Uuid::from_u128(rand::random()).simple().to_string(),
        host,
        driver,
        place,
        starts: starts::Starts::new(),
        changed: Notify::new(),
        health_seconds: options.health_seconds.unwrap_or(HEALTH_SECONDS).into(),
        is_health_own: options.health_seconds.is_some(),
        pool: options.pool,
    };
    sync::Runner::new(Arc::new(spec), caller, options.capacity, options.drain).run(asked).await;
    tracing::info!(line.kept = Empty, "the runner ends");
    Ok(())
}

/// Counts SIGTERM and SIGINT.
fn asked_to_stop() -> std::io::Result<watch::Receiver<u32>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (count, counted) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            count.send_modify(|times| *times += 1);
        }
    });
    Ok(counted)
}
