//! The proof that a worker has forgotten a session: item by item, by the canary, and by looking at what it has.
//!
//! Each of the three is asked of another: of the worker's author (`reset`), of its library, which put the phrase where
//! the session's things go (`check`), and of the machine, which a worker cannot talk round. Anything that is short of
//! yes is no.

use tokio::time::Instant;

use super::drivers::Session;
use super::frames::{FromWorker, Item, ToWorker};
use super::life::{End, Life};
use super::worker::Worker;
use crate::scrub;

impl Worker {
    /// Has the worker forget, and looks whether it has; else what it still has, in words without the session's data.
    /// One that served nothing since it was last clean has nothing to forget.
    pub(super) async fn prove(&mut self, life: &mut Life, until: Instant) -> Result<Result<(), String>, End> {
        let Some(canary) = life.served.as_ref().map(|served| served.canary.clone()) else { return Ok(Ok(())) };
        let seq = life.next_seq();
        life.say(&ToWorker::Reset { seq, items: Item::ALL.to_vec() }, until).await?;
        let done = self.answer(life, until, |frame| match frame {
            FromWorker::ResetDone { seq: of, items } if *of == seq => Some(items.clone()),
            _ => None,
        });
        let done = done.await?;
        let missing = Item::ALL.map(Item::as_str).into_iter().filter(|item| !done.contains_key(*item));
        let refused = done.iter().filter(|(_, is_clear)| !**is_clear).map(|(item, _)| item.as_str());
        if let Some(problem) = named("not cleared", missing.chain(refused)) {
            return Ok(Err(problem));
        }

        let seq = life.next_seq();
        life.say(&ToWorker::Check { seq, canary }, until).await?;
        let held_by = self.answer(life, until, |frame| match frame {
            FromWorker::Checked { seq: of, held_by } if *of == seq => Some(held_by.clone()),
            _ => None,
        });
        let held_by = held_by.await?;
        if let Some(problem) = named("still held by", held_by.iter().map(String::as_str)) {
            return Ok(Err(problem));
        }

        let Ok(has) = life.running().belongings().await else {
            return Ok(Err("what it has cannot be seen".to_owned()));
        };
        let Some(served) = &life.served else { return Ok(Ok(())) };
        let session = Session { canary: &served.canary, environment: &served.environment };
        let left = has.left_since(&served.before, &session);
        if let Some(problem) = named("left behind", left.into_iter()) {
            return Ok(Err(problem));
        }
        life.clean = Some(has);
        Ok(Ok(()))
    }
}

/// A worker's words are foreign, and few of them are told.
fn named<'a>(what: &str, things: impl Iterator<Item = &'a str>) -> Option<String> {
    let things: Vec<_> = things.take(Item::ALL.len()).collect();
    (!things.is_empty()).then(|| scrub::foreign(&format!("{what}: {}", things.join(", "))))
}
