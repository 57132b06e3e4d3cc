//! What a service manager does: a process is started again whenever it has ended, unless it is to stay down.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::support::process::{Process, greenroom};

/// A process of greenroom, such as a replica.
pub(crate) struct Keeper {
    name: String,
    args: Vec<String>,
    settings: Vec<(String, String)>,
    stays_down: AtomicBool,
    process: Mutex<Option<Process>>,
}

impl Keeper {
    /// One that is to be started.
    pub(crate) fn new(name: String, args: Vec<String>, settings: Vec<(String, String)>) -> Self {
        Self { name, args, settings, stays_down: AtomicBool::new(false), process: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `kill -9`; it stays down.
    pub(crate) fn kill(&self) {
        self.stays_down.store(true, Ordering::SeqCst);
        if let Some(process) = self.process().as_mut() {
            process.kill();
        }
    }

    /// It is started again from now on.
    pub(crate) fn let_start(&self) {
        self.stays_down.store(false, Ordering::SeqCst);
    }

    /// Asks it to end for good.
    pub(crate) fn ask_to_end(&self) {
        self.signal("TERM");
        self.stays_down.store(true, Ordering::SeqCst);
    }

    /// Whether it does not run.
    pub(crate) fn is_down(&self) -> bool {
        self.process().as_mut().is_none_or(Process::has_ended)
    }

    /// Sends a signal, such as `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        if let Some(process) = self.process().as_mut().filter(|_| !self.stays_down.load(Ordering::SeqCst))
            && !process.has_ended()
        {
            process.signal(signal);
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it where it does not run, and may.
    pub(crate) fn keep(&self, dir: &Path) {
        let mut process = self.process();
        let ended = process.as_mut().is_none_or(Process::has_ended);
        if ended && !self.stays_down.load(Ordering::SeqCst) {
            *process = Some(Process::start(&self.name, self.command(), dir));
        }
    }

    /// The binary, or another build of it that the variable names: `scripts/planted-bugs` builds some with a bug.
    fn command(&self) -> Command {
        let args: Vec<_> = self.args.iter().map(String::as_str).collect();
        let own = greenroom(&args, &self.settings);
        let Some(binary) = std::env::var_os("GREENROOM_HARNESS_BINARY") else { return own };
        let mut command = Command::new(binary);
        command.args(args).env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }
}
