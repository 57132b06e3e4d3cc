//! Hints: the scripts publish the name of a place whose waiters should ask again.
//!
//! A hint that is lost delays and never loses: whoever waits asks again after a second anyhow.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::keys::Shard;
use super::{Store, StoreError};

/// How long the way to the server that hints come from may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Who waits for which place, in this replica. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    waiting: Waiting,
}

type Waiting = Arc<Mutex<HashMap<String, watch::Sender<()>>>>;

/// Listens for one place. However the wait ends, also where it never begins, nothing is left of it.
struct Ear {
    waiting: Waiting,
    name: String,
    receiver: Option<watch::Receiver<()>>,
}

impl Ear {
    fn open(waiting: &Waiting, name: &str) -> Self {
        let mut all = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = all.entry(name.to_owned()).or_insert_with(|| watch::Sender::new(())).subscribe();
        drop(all);
        Self { waiting: Arc::clone(waiting), name: name.to_owned(), receiver: Some(receiver) }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // First, or it would count itself.
        self.receiver = None;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.get(&self.name).is_some_and(|sender| sender.receiver_count() == 0) {
            waiting.remove(&self.name);
        }
    }
}

impl Hints {
    /// Waits for a hint for the place (`<tenant>:<room>:<agent>`), which is heard from the call on,
    /// or for the longest time.
    pub fn wait(&self, name: &str, longest: Duration) -> impl Future<Output = ()> + Send + use<> {
        let mut ear = Ear::open(&self.waiting, name);
        async move {
            if let Some(receiver) = &mut ear.receiver {
                // An error says that the sender is gone, which is a reason to ask, too.
                let _ = tokio::time::timeout(longest, receiver.changed()).await;
            }
        }
    }

    fn wake(&self, name: &str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = waiting.remove(name) {
            sender.send_replace(());
        }
    }

    /// Follows the hints of all shards until `stop`, reconnecting for ever.
    pub async fn follow(self, store: Store, stop: CancellationToken) {
        let mut pause = Duration::from_millis(50);
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                ended = self.follow_once(&store) => {
                    if ended.is_ok() {
                        pause = Duration::from_millis(50);
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))) => {}
            }
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    // Ends well when the masters have changed: whoever it hears from may not be one any more.
    async fn follow_once(&self, store: &Store) -> Result<(), StoreError> {
        let router = &store.inner.router;
        let mut changes = router.changes();
        let client = redis::Client::open(router.hearing().await?)?;
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, client.get_async_pubsub()).await;
        let mut pubsub = connected.map_err(|_| StoreError::unavailable("no connection in time"))??;
        let channels: Vec<String> = (0..store.shards()).map(|shard| Shard(shard).hints()).collect();
        pubsub.subscribe(&channels).await?;
        let mut messages = pubsub.on_message();
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.wake(&message.get_payload::<String>()?),
                    None => return Err(StoreError::unavailable("the connection ended")),
                },
                _ = changes.changed() => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_of_a_wait_however_it_ends() {
        let hints = Hints::default();
        let left = || hints.waiting.lock().unwrap().len();
        let minute = Duration::from_mins(1);
        drop(hints.wait("never begun", minute));
        let given_up = tokio::time::timeout(Duration::from_secs(1), hints.wait("given up", minute));
        assert!(given_up.await.is_err());
        hints.wait("over", minute).await;
        assert_eq!(left(), 0);
        let (one, other) = (hints.wait("both", minute), hints.wait("both", minute));
        drop(one);
        assert_eq!(left(), 1, "the other still listens");
        hints.wake("both");
        let anew = hints.wait("both", minute);
        other.await;
        assert_eq!(left(), 1, "who came after the hint waits for the next one");
        drop(anew);
        assert_eq!(left(), 0);
    }
}
