//! How a replica stops: signal → not ready → drain → stop accepting → finish → exit.
//!
//! On a signal the replica first says that it is not ready and goes on serving, so that its load
//! balancers turn away before anything is refused. Then it stops accepting, answers what it has
//! begun, and waits for the work at the provider, which outlives its requests. All of it
//! ends within the grace period: what is left then is lapsed claims, which other replicas take up.
//!
//! A [`Shutdown`] belongs to one replica, not to the process: several replicas run in one process.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::Empty;

/// Where a replica is on its way out. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// How long the steps of a stop may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopOptions {
    /// How long to serve on after readiness went down, for load balancers to notice.
    pub drain: Duration,
    /// How long everything after that may take.
    pub grace: Duration,
}

/// How a stop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Everything that was begun is finished.
    Clean,
    /// The grace period ended first.
    CutShort {
        /// Whether requests were still being answered.
        serving: bool,
        /// Pieces of work that were left.
        tasks: usize,
    },
}

impl Shutdown {
    /// A replica that runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts the way out. More calls change nothing.
    pub fn begin(&self) {
        self.draining.cancel();
    }

    /// Whether the way out has begun: the replica is not ready any more.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Ends when the way out begins: loops that take up new work stop here.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Cancelled when no request is accepted any more.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Holds the work that outlives its request; the stop waits for it.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Runs the way out once [`Shutdown::begin`] was called; `served` ends when the server has
    /// answered what it had begun.
    pub async fn finish(&self, served: impl Future<Output = ()>, options: StopOptions) -> Stopped {
        self.draining.cancelled().await;
        tracing::info!(line.kept = Empty, drain_ms = millis(options.drain), "stopping: not ready any more");
        tokio::time::sleep(options.drain).await;

        self.stopping.cancel();
        let deadline = Instant::now() + options.grace;
        let serving = tokio::time::timeout_at(deadline, served).await.is_err();
        // Only now: a request that is being answered may start work.
        self.tasks.close();
        let waited = tokio::time::timeout_at(deadline, self.tasks.wait()).await;
        if serving || waited.is_err() {
            let tasks = self.tasks.len();
            tracing::warn!(
                line.kept = Empty,
                serving,
                tasks,
                grace_ms = millis(options.grace),
                "stopped before everything was finished"
            );
            return Stopped::CutShort { serving, tasks };
        }
        tracing::info!(line.kept = Empty, "stopped");
        Stopped::Clean
    }
}

/// Ends at the first SIGTERM or SIGINT of the process.
pub async fn signalled() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: StopOptions = StopOptions { drain: Duration::from_secs(5), grace: Duration::from_secs(20) };

    #[tokio::test(start_paused = true)]
    async fn it_drains_then_stops_then_waits_for_the_work() {
        let shutdown = Shutdown::new();
        let other_replica = Shutdown::new();
        let began = Instant::now();
        let stopping = shutdown.stopping();
        let stopped_accepting = tokio::spawn(async move {
            stopping.cancelled().await;
            began.elapsed()
        });
        let served = {
            let (stopping, tasks) = (shutdown.stopping(), shutdown.tasks().clone());
            async move {
                stopping.cancelled().await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                // The last request starts work at the provider.
                tasks.spawn(tokio::time::sleep(Duration::from_secs(2)));
            }
        };
        shutdown.begin();
        shutdown.begin();
        assert!(shutdown.is_draining() && !shutdown.stopping().is_cancelled());
        assert_eq!(shutdown.finish(served, OPTIONS).await, Stopped::Clean);
        assert_eq!(stopped_accepting.await.unwrap().as_secs(), 5);
        assert_eq!(began.elapsed().as_secs(), 8);
        assert!(!other_replica.is_draining());
    }

    #[tokio::test(start_paused = true)]
    async fn the_grace_period_ends_it_whatever_hangs() {
        let shutdown = Shutdown::new();
        shutdown.tasks().spawn(std::future::pending::<()>());
        shutdown.begin();
        let began = Instant::now();
        let stopped = shutdown.finish(std::future::pending(), OPTIONS).await;
        assert_eq!(stopped, Stopped::CutShort { serving: true, tasks: 1 });
        assert_eq!(began.elapsed().as_secs(), 25);
    }
}
