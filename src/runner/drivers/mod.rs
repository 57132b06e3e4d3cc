//! How workers are run. There is one way so far; another is a variant here and a file beside `process.rs`.
//!
//! A driver starts a worker, with a pipe each way for frames and one for its log, and answers for the whole of it:
//! everything that the worker has started is counted, looked at and ended with it.

use std::io;
use std::path::Path;

mod process;
mod tree;

pub(super) use process::Running;
pub(super) use tree::{Belongings, Session};

/// One way to run workers.
#[derive(Debug)]
pub(super) enum Driver {
    /// Processes of this machine.
    Process(process::Processes),
}

/// What is to be run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Launch<'a> {
    /// The worker's id.
    pub(super) worker: &'a str,
    /// Its own directory, which is there and empty.
    pub(super) dir: &'a Path,
}

impl Driver {
    /// Workers as processes of this machine: the command, and names of variables that they are given of ours.
    /// `label` tells this runner's processes from all others.
    pub(super) fn process(label: String, command: Vec<String>, passed: Vec<String>) -> io::Result<Self> {
        process::Processes::new(label, command, passed).map(Self::Process)
    }

    /// The name of the driver in calls.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Process(_) => "process",
        }
    }

    /// Starts a worker.
    pub(super) async fn start(&self, launch: Launch<'_>) -> io::Result<Running> {
        match self {
            Self::Process(processes) => processes.start(launch).await,
        }
    }

    /// Ends what an earlier runner of this name has left; how many that were.
    pub(super) async fn sweep(&self) -> usize {
        match self {
            Self::Process(processes) => processes.sweep().await,
        }
    }
}
