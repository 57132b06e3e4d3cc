//! One life of a worker: a process from its start to its end, and what is said to it and heard from it.

use std::process::ExitStatus;
use std::time::Duration;

use secrecy::SecretString;
use tokio::io::AsyncRead;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::drivers::{Belongings, Running};
use super::frames::{self, Environment, FrameError, FromWorker, ToWorker};
use super::log;

/// Frames of a worker that wait to be looked at; then its pipe fills, and it waits.
const FRAMES_MAX: usize = 32;
/// How long a process may take to end once it has closed its pipe.
const LAST_BREATH: Duration = Duration::from_secs(1);
/// What a worker that is to end has for each step: finish and exit, then exit, then be gone.
const DRAIN_MAX: Duration = Duration::from_secs(3);
const TERM_MAX: Duration = Duration::from_secs(5);
/// The same where it is urgent: SIGTERM at once, and then so long.
const URGENT_TERM_MAX: Duration = Duration::from_secs(2);

/// How a worker is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    /// Not at all.
    No,
    /// It may finish.
    Politely,
    /// At once.
    Now,
}

/// Why a wait for a worker ended without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It is to stop.
    Stopped,
    /// It has ended, or cannot be understood; why.
    Died(String),
    /// The time is over.
    Late,
}

/// A worker's process.
#[derive(Debug)]
pub(super) struct Life {
    running: Running,
    inbox: mpsc::Receiver<Result<FromWorker, FrameError>>,
    log: log::Secrets,
    seq: u64,
    /// What it serves, or has served and not been shown to have forgotten.
    pub(super) served: Option<Served>,
    /// What it had when it was looked at last, and served nobody. It is looked at ahead of the next session, which then
    /// need not wait for that.
    pub(super) clean: Option<Belongings>,
}

/// A session that a worker was given.
pub(super) struct Served {
    pub(super) canary: SecretString,
    pub(super) environment: Environment,
    pub(super) before: Belongings,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Served(…)")
    }
}

impl Life {
    /// Listens to a worker that was started.
    pub(super) fn new(worker: &str, mut running: Running) -> Self {
        let (heard, inbox) = mpsc::channel(FRAMES_MAX);
        if let Some(stdout) = running.stdout.take() {
            tokio::spawn(listen(stdout, heard));
        }
        let log = log::Secrets::default();
        if let Some(stderr) = running.stderr.take() {
            tokio::spawn(log::follow(stderr, worker.to_owned(), running.pid(), log.clone()));
        }
        Self { running, inbox, log, seq: 0, served: None, clean: None }
    }

    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    /// From now on its log says nothing of these values.
    pub(super) fn hide(&self, assignment: impl IntoIterator<Item = SecretString>) {
        self.log.set(assignment);
    }

    /// A number for a question, so that a late answer to another is not taken for its own.
    pub(super) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Says something. Where that takes too long a part may have been said: the worker is of no use any more.
    pub(super) async fn say(&mut self, frame: &ToWorker, until: Instant) -> Result<(), End> {
        match timeout_at(until, frames::write(&mut self.running.stdin, frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error @ FrameError::TooLong(_))) => Err(End::Died(error.to_string())),
            Ok(Err(_)) => Err(self.how_it_ended("does not read").await),
            Err(_) => Err(End::Died("does not read what it is told".to_owned())),
        }
    }

    /// The next that it says. May be given up and called again.
    pub(super) async fn heard(&mut self, stop: &mut watch::Receiver<Stop>, until: Instant) -> Result<FromWorker, End> {
        let heard = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop != Stop::No) => return Err(End::Stopped),
            heard = self.inbox.recv() => heard,
            status = self.running.ended() => return Err(End::Died(exit(status.ok()))),
            () = sleep_until(until) => return Err(End::Late),
        };
        match heard {
            Some(Ok(frame)) => Ok(frame),
            Some(Err(FrameError::Io(_))) | None => Err(self.how_it_ended("closed its output").await),
            Some(Err(error)) => Err(End::Died(error.to_string())),
        }
    }

    async fn how_it_ended(&mut self, otherwise: &str) -> End {
        match timeout(LAST_BREATH, self.running.ended()).await {
            Ok(status) => End::Died(exit(status.ok())),
            Err(_) => End::Died(otherwise.to_owned()),
        }
    }

    /// Ends it: asks while there is time, and sees that nothing of it is left, its directory neither.
    pub(super) async fn finish(&mut self, end: &End, stop: &mut watch::Receiver<Stop>) {
        if *end == End::Stopped {
            let politely = self.polite_end();
            let ended = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop == Stop::Now) => false,
                ended = politely => ended,
            };
            if !ended {
                let _ = self.running.ask_to_end().await;
                let _ = timeout(URGENT_TERM_MAX, self.running.ended()).await;
            }
        }
        self.kill().await;
    }

    async fn polite_end(&mut self) -> bool {
        let drained = self.say(&ToWorker::Drain {}, Instant::now() + LAST_BREATH).await.is_ok();
        if drained && timeout(DRAIN_MAX, self.running.ended()).await.is_ok() {
            return true;
        }
        let _ = self.running.ask_to_end().await;
        timeout(TERM_MAX, self.running.ended()).await.is_ok()
    }

    /// Ends it at once, with all that it has started and its directory.
    pub(super) async fn kill(&mut self) {
        if let Err(error) = self.running.kill().await {
            tracing::error!(pid = self.running.pid(), %error, "a worker could not be ended");
        }
        let dir = self.running.dir().to_owned();
        if let Err(error) = tokio::fs::remove_dir_all(&dir).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a worker's directory could not be removed");
        }
    }
}

async fn listen(mut stdout: impl AsyncRead + Unpin, heard: mpsc::Sender<Result<FromWorker, FrameError>>) {
    loop {
        let frame = match frames::read(&mut stdout).await {
            Ok(None) => return,
            Ok(Some(frame)) => Ok(frame),
            Err(error) => Err(error),
        };
        let is_last = frame.is_err();
        if heard.send(frame).await.is_err() || is_last {
            return;
        }
    }
}

fn exit(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "has ended".to_owned(), |status| format!("ended with {status}"))
}
