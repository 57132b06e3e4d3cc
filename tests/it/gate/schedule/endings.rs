//! How a schedule ends: with everybody gone but a new replica, and no more faults.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use greenroom::store::keys::Shard;
use rand::RngExt as _;

use super::{CALM_STEPS, Play, REPLICAS, Turn};
use crate::gate::cast::{self, ROOM, TTL};
use crate::gate::{pools, verdict};

impl Play<'_> {
    /// Another replica finds the lock free, and the breakers close.
    pub(super) async fn find_all_well(&mut self) -> Result<(), String> {
        let fresh = self.replica(REPLICAS);
        self.finish(fresh.find_all_well()).await??;
        self.ledger.all_are_closed()
    }

    /// Another replica takes over, with nobody left; then the dispatch ends.
    pub(super) async fn clear_up(&mut self) -> Result<(), String> {
        self.book.over.store(false, Ordering::SeqCst);
        let fresh = self.replica(REPLICAS);
        tokio::spawn(fresh.clone().reap(9, Duration::from_secs(2)));
        let patience = Duration::from_secs(20);
        let mut asked = false;
        for _ in 0..5 {
            asked = asked || self.finish(fresh.clone().ask(Duration::from_secs(1), patience)).await?;
        }
        if !asked {
            return Err("nobody gets an agent any more".to_owned());
        }
        self.finish(tokio::time::sleep(Duration::from_secs(12))).await?;
        verdict::one_is_left(self.redis, &cast::look(&self.world).await)?;
        for person in cast::look(&self.world).await.people {
            self.world.person_leaves(ROOM, &person.sid);
        }
        if self.rng.random_bool(0.5) && !self.finish(fresh.end(Duration::ZERO)).await? {
            return Err("it cannot be ended".to_owned());
        }
        // The time to live runs from the next look on.
        self.finish(tokio::time::sleep(Duration::from_secs(8))).await?;
        self.pass(TTL).await;
        self.finish(tokio::time::sleep(Duration::from_secs(12))).await?;
        verdict::nothing_is_left(self.redis, &cast::look(&self.world).await)
    }

    /// Lets all go on, without faults, until the future is done.
    async fn finish<T: Send + 'static>(&mut self, work: impl Future<Output = T> + Send + 'static) -> Result<T, String> {
        let task = tokio::spawn(work);
        self.calm(|_| task.is_finished()).await?;
        task.await.map_err(|error| error.to_string())
    }

    pub(super) async fn calm(&mut self, is_done: impl Fn(&Self) -> bool) -> Result<(), String> {
        for _ in 0..CALM_STEPS {
            self.settle().await;
            if is_done(self) {
                return Ok(());
            }
            let mut held = self.desk.take_held();
            if held.is_empty() {
                self.pass(Duration::from_secs(1)).await;
                continue;
            }
            let first = held.remove(0);
            self.desk.put_back(held);
            self.release(first, Turn::Answered);
            self.check().await?;
        }
        Err("it does not come to rest".to_owned())
    }

    /// The pool comes back to its size under another replica; then it goes, and nothing of it stays.
    pub(super) async fn empty_the_pool(&mut self) -> Result<(), String> {
        let fresh = self.replica(REPLICAS);
        *self.book.replicas.lock().expect("no panic") = vec![fresh.pools.clone()];
        self.book.calm.store(true, Ordering::SeqCst);
        self.book.over.store(false, Ordering::SeqCst);
        tokio::spawn(fresh.clone().keep_the_pool(9));
        self.finish(fresh.clone().welcome_all()).await?.map_err(|error| error.to_string())?;
        self.wait_for_workers(pools::SPARE).await?;
        self.finish(fresh.drain_the_pool()).await?.map_err(|error| error.to_string())?;
        self.wait_for_workers(0).await?;
        self.book.is_deserted.store(true, Ordering::SeqCst);
        // Until the silent runners are given up.
        self.finish(tokio::time::sleep(pools::BELIEVED * 2)).await?;
        verdict::nothing_is_left(self.redis, &cast::look(&self.world).await)
    }

    pub(super) async fn wait_for_workers(&mut self, count: u32) -> Result<(), String> {
        let count = count.try_into().expect("a number");
        // Starts that failed make the next one wait, up to a minute.
        for _ in 0..90 {
            if self.leases.are_settled(count) {
                return Ok(());
            }
            self.finish(tokio::time::sleep(Duration::from_secs(1))).await?;
        }
        let (leases, lives) = (&self.leases.state.leases, self.leases.state.lives().collect::<Vec<_>>());
        let why = self.redis.hash(&Shard(0).pool(&pools::pool())).remove("plan_reason");
        Err(format!("it does not come to {count} spare workers, {why:?}: {leases:?}, {lives:?}"))
    }
}
