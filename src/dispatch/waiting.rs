//! Waiting for what another is making: one caller of a replica waits for a place, and shares the
//! answer with the others.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

/// Futures that are under way, by place: who comes while one is, gets its answer.
///
/// A group closes before it asks its final question, so nobody gets an answer that is older than
/// their own question.
pub(super) struct Waiting<T: Clone> {
    groups: Arc<Mutex<HashMap<String, Group<T>>>>,
}

type Group<T> = Shared<BoxFuture<'static, T>>;

impl<T: Clone> Clone for Waiting<T> {
    fn clone(&self) -> Self {
        Self { groups: Arc::clone(&self.groups) }
    }
}

impl<T: Clone> Default for Waiting<T> {
    fn default() -> Self {
        Self { groups: Arc::default() }
    }
}

impl<T: Clone + Send + Sync + 'static> Waiting<T> {
    /// Joins the group that waits for the place, or founds one: it waits for `signal`, closes, and
    /// then asks `question` for all.
    pub(super) fn join<Q>(
        &self,
        name: &str,
        signal: impl Future<Output = ()> + Send + 'static,
        question: impl FnOnce() -> Q + Send + 'static,
    ) -> Group<T>
    where
        Q: Future<Output = T> + Send + 'static,
    {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = groups.get(name) {
            return group.clone();
        }
        let (closing, key) = (Arc::clone(&self.groups), name.to_owned());
        let wait = async move {
            signal.await;
            closing.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            question().await
        };
        let group = wait.boxed().shared();
        groups.insert(name.to_owned(), group.clone());
        drop(groups);
        // Driven by a task of its own: the caller who founded the group may hang up.
        tokio::spawn(group.clone().map(drop));
        group
    }
}
