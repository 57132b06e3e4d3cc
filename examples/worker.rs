//! A worker in Rust that remembers the sessions' metadata, and forgets it: `cargo build --example worker`, then
//!
//! ```sh
//! greenroom runner --server http://localhost:8080 --pool rust -- target/debug/examples/worker
//! ```

use std::collections::BTreeMap;

use greenroom::worker::{FrameError, FromWorker, Item, ToWorker, Worker};
use secrecy::{ExposeSecret as _, SecretString};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), FrameError> {
    let mut worker = Worker::of_the_process("greenroom-worker-rust/1").await?;
    worker.say(&FromWorker::Ready { endpoint: None }).await?;
    // What is known of the session, by item.
    let mut known: BTreeMap<Item, Vec<SecretString>> = BTreeMap::new();
    let mut requests = 0;
    while let Some(told) = worker.next().await? {
        let answer = match told {
            ToWorker::Assign { seq, environment, metadata, canary, .. } => {
                for item in Item::ALL {
                    known.entry(item).or_default().push(canary.clone());
                }
                known.entry(Item::Environment).or_default().extend(environment.into_values());
                known.entry(Item::Conversation).or_default().push(metadata);
                requests += 1;
                FromWorker::Assigned { seq }
            }
            ToWorker::Health { seq } => FromWorker::Healthy { seq, requests, errors: 0 },
            ToWorker::Reset { seq, items } => {
                let cleared = |item: Item| {
                    known.remove(&item);
                    (item.as_str().to_owned(), !known.contains_key(&item))
                };
                FromWorker::ResetDone { seq, items: items.into_iter().map(cleared).collect() }
            }
            ToWorker::Check { seq, canary } => {
                let holds = |texts: &Vec<SecretString>| {
                    texts.iter().any(|text| text.expose_secret().contains(canary.expose_secret()))
                };
                let held_by = known.iter().filter(|(_, texts)| holds(texts)).map(|(item, _)| item.as_str().to_owned());
                FromWorker::Checked { seq, held_by: held_by.collect() }
            }
            ToWorker::Hello { .. } | ToWorker::Drain {} | ToWorker::Unknown => continue,
        };
        worker.say(&answer).await?;
    }
    Ok(())
}
