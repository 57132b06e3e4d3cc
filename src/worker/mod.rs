//! The worker's side of the protocol, for workers that are written in Rust: see `docs/worker-protocol.md`, and
//! `examples/worker.rs` for a whole one.
//!
//! Nothing is cleared here: what a session leaves, and where, only the worker knows. It puts the canary of the
//! assignment into each item, clears them at a reset, and searches them at a check.

use std::os::fd::AsFd as _;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWrite};

pub use crate::runner::frames::{Environment, FRAME_BYTES_MAX, FrameError, FromWorker, Item, PROTOCOL, ToWorker};

use crate::runner::frames;

/// The way to the runner, and back. While it is in use nobody else may print to standard output.
#[derive(Debug)]
pub struct Worker<R = File, W = File> {
    from: R,
    to: W,
}

impl Worker {
    /// Says hello over standard input and output. `sdk` is what the worker is written with.
    pub async fn of_the_process(sdk: &str) -> Result<Self, FrameError> {
        let from = std::fs::File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        let to = std::fs::File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
        Self::greet(File::from_std(from), File::from_std(to), sdk).await
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Worker<R, W> {
    /// Says hello, and waits for nothing: the runner's own is the first that is heard.
    pub async fn greet(from: R, to: W, sdk: &str) -> Result<Self, FrameError> {
        let mut worker = Self { from, to };
        worker.say(&FromWorker::Hello { protocol: PROTOCOL, sdk: sdk.to_owned() }).await?;
        Ok(worker)
    }

    /// The next that the runner says; `None` when the worker is to end, or the runner is gone.
    pub async fn next(&mut self) -> Result<Option<ToWorker>, FrameError> {
        loop {
            return match frames::read(&mut self.from).await? {
                Some(ToWorker::Unknown) => continue,
                Some(ToWorker::Drain {}) | None => Ok(None),
                said => Ok(said),
            };
        }
    }

    /// Says that the session of the lease is over, before its holder does: the lease ends, and a reset follows.
    pub async fn release(&mut self, lease: &str) -> Result<(), FrameError> {
        self.say(&FromWorker::Release { lease: lease.to_owned() }).await
    }

    /// Says something.
    pub async fn say(&mut self, frame: &FromWorker) -> Result<(), FrameError> {
        frames::write(&mut self.to, frame).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_says_hello_hears_what_it_knows_and_ends_with_its_runner() {
        let (ours, theirs) = tokio::io::duplex(1 << 12);
        let (from, to) = tokio::io::split(theirs);
        let (mut said, mut tell) = tokio::io::split(ours);
        let mut worker = Worker::greet(from, to, "test/1").await.unwrap();
        assert!(matches!(frames::read(&mut said).await, Ok(Some(FromWorker::Hello { protocol: PROTOCOL, .. }))));
        frames::write(&mut tell, &serde_json::json!({"type": "dance"})).await.unwrap();
        frames::write(&mut tell, &ToWorker::Health { seq: 7 }).await.unwrap();
        assert!(matches!(worker.next().await, Ok(Some(ToWorker::Health { seq: 7 }))), "what is unknown is let pass");
        worker.say(&FromWorker::Healthy { seq: 7, requests: 1, errors: 0 }).await.unwrap();
        assert!(matches!(frames::read(&mut said).await, Ok(Some(FromWorker::Healthy { seq: 7, .. }))));
        worker.release("lse_3_a").await.unwrap();
        let over = frames::read(&mut said).await;
        assert!(matches!(over, Ok(Some(FromWorker::Release { lease })) if lease == "lse_3_a"));
        frames::write(&mut tell, &ToWorker::Drain {}).await.unwrap();
        assert!(matches!(worker.next().await, Ok(None)));
    }
}
