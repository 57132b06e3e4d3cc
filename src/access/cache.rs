//! What was looked up a moment ago: a replica asks the store for a key at most once a second.
//!
//! An answer counts for a second from when it was *asked for*, so that what is revoked opens nowhere a second
//! later; nobody is served from an older one, whether Redis answers or not. Callers with the same key share one
//! look. Keys that do not exist are remembered as well, apart, so that a flood of them puts out none that does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use super::AccessError;
use super::bounded::make_room;
use crate::id::KeyId;

/// For how long an answer counts.
pub(super) const FRESH: Duration = Duration::from_secs(1);
/// How many keys that were not known lately are looked up at once: what keys made up by a stranger can cost.
const STRANGERS_MAX: usize = 256;

/// What a look found.
#[derive(Debug)]
pub(super) struct Found<T> {
    pub(super) what: Arc<T>,
    /// For how long it counts, if that is shorter than usual.
    pub(super) lasts: Option<Duration>,
}

type Answer<T> = Result<Option<Arc<T>>, AccessError>;
type Look<T> = Shared<BoxFuture<'static, Answer<T>>>;

/// See above. Cheap to clone.
pub(super) struct Cache<T> {
    slots: Arc<Mutex<Slots<T>>>,
}

struct Slots<T> {
    known: HashMap<KeyId, (Instant, Arc<T>)>,
    unknown: HashMap<KeyId, Instant>,
    looks: HashMap<KeyId, Look<T>>,
}

impl<T: Send + Sync + 'static> Cache<T> {
    pub(super) fn new() -> Self {
        let slots = Slots { known: HashMap::new(), unknown: HashMap::new(), looks: HashMap::new() };
        Self { slots: Arc::new(Mutex::new(slots)) }
    }

    /// What the id names: as it was within the last second, else as `look` finds it. One that was not known lately
    /// is looked up only where strangers are welcome.
    pub(super) async fn get<F>(
        &self,
        id: KeyId,
        look: impl FnOnce() -> F,
        are_strangers_welcome: impl FnOnce() -> bool,
    ) -> Answer<T>
    where
        F: Future<Output = Result<Option<Found<T>>, AccessError>> + Send + 'static,
    {
        let now = Instant::now();
        let look = {
            let mut slots = lock(&self.slots);
            if let Some(answer) = slots.fresh(id, now) {
                return Ok(answer.known());
            }
            match slots.looks.get(&id) {
                Some(look) => look.clone(),
                None if !slots.known.contains_key(&id) && !are_strangers_welcome() => {
                    return Err(AccessError::TooManyWrong);
                }
                None => self.begin(&mut slots, id, now, look())?,
            }
        };
        look.await
    }

    /// Forgets what is known of the id.
    pub(super) fn forget(&self, id: KeyId) {
        lock(&self.slots).known.remove(&id);
    }

    fn begin<F>(&self, slots: &mut Slots<T>, id: KeyId, now: Instant, look: F) -> Result<Look<T>, AccessError>
    where
        F: Future<Output = Result<Option<Found<T>>, AccessError>> + Send + 'static,
    {
        if slots.looks.len() >= STRANGERS_MAX && !slots.known.contains_key(&id) {
            let detail = format!("{STRANGERS_MAX} unknown keys are being looked up");
            return Err(AccessError::StoreUnavailable { detail });
        }
        let shared = Arc::clone(&self.slots);
        let look = async move {
            let answer = look.await;
            let mut slots = lock(&shared);
            slots.looks.remove(&id);
            slots.remember(id, now, answer)
        };
        let look = look.boxed().shared();
        slots.looks.insert(id, look.clone());
        // Driven by a task of its own: the caller who began may hang up.
        tokio::spawn(look.clone().map(drop));
        Ok(look)
    }
}

/// What is remembered, and not too old.
enum Fresh<T> {
    Known(Arc<T>),
    Unknown,
}

impl<T> Fresh<T> {
    fn known(self) -> Option<Arc<T>> {
        match self {
            Self::Known(what) => Some(what),
            Self::Unknown => None,
        }
    }
}

impl<T> Slots<T> {
    fn fresh(&self, id: KeyId, now: Instant) -> Option<Fresh<T>> {
        if let Some((until, what)) = self.known.get(&id) {
            return (now < *until).then(|| Fresh::Known(Arc::clone(what)));
        }
        self.unknown.get(&id).filter(|until| now < **until).map(|_| Fresh::Unknown)
    }

    fn remember(&mut self, id: KeyId, asked: Instant, answer: Result<Option<Found<T>>, AccessError>) -> Answer<T> {
        match answer {
            Ok(Some(found)) => {
                self.unknown.remove(&id);
                make_room(&mut self.known, &id, |(until, _)| *until > asked);
                let until = asked + found.lasts.map_or(FRESH, |lasts| lasts.min(FRESH));
                self.known.insert(id, (until, Arc::clone(&found.what)));
                Ok(Some(found.what))
            }
            Ok(None) => {
                self.known.remove(&id);
                make_room(&mut self.unknown, &id, |until| *until > asked);
                self.unknown.insert(id, asked + FRESH);
                Ok(None)
            }
            // What was known stays, too old to serve, so that its holder goes before strangers.
            Err(error) => Err(error),
        }
    }
}

fn lock<T>(slots: &Mutex<Slots<T>>) -> MutexGuard<'_, Slots<T>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::access::bounded::REMEMBERED_MAX;

    /// Counts the looks, each of which takes a while.
    struct Store {
        cache: Cache<u32>,
        looks: Arc<AtomicUsize>,
    }

    const LATENCY: Duration = Duration::from_millis(100);

    impl Store {
        fn new() -> Self {
            Self { cache: Cache::new(), looks: Arc::default() }
        }

        async fn ask(&self, id: KeyId, answer: Result<Option<u32>, AccessError>) -> Result<Option<u32>, AccessError> {
            let looks = Arc::clone(&self.looks);
            let look = || async move {
                looks.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(LATENCY).await;
                answer.map(|what| what.map(|what| Found { what: Arc::new(what), lasts: None }))
            };
            self.cache.get(id, look, || true).await.map(|what| what.map(|what| *what))
        }

        fn looks(&self) -> usize {
            self.looks.load(Ordering::SeqCst)
        }
    }

    fn away() -> AccessError {
        AccessError::StoreUnavailable { detail: "away".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_from_the_question_and_no_longer() {
        let (store, id) = (Store::new(), KeyId::new(1));
        assert_eq!(store.ask(id, Ok(Some(7))).await, Ok(Some(7)));
        tokio::time::advance(FRESH.saturating_sub(LATENCY + Duration::from_millis(1))).await;
        assert_eq!(store.ask(id, Ok(None)).await, Ok(Some(7)));
        assert_eq!(store.looks(), 1);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(store.ask(id, Ok(None)).await, Ok(None));
        assert_eq!(store.looks(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_share_one_look() {
        let (store, id) = (Store::new(), KeyId::new(1));
        let answers = futures_util::future::join_all((0..100).map(|_| store.ask(id, Ok(Some(7))))).await;
        assert!(answers.iter().all(|answer| *answer == Ok(Some(7))));
        assert_eq!(store.looks(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_store_is_away_nothing_older_than_its_second_serves() {
        let (store, id) = (Store::new(), KeyId::new(1));
        store.ask(id, Ok(Some(7))).await.unwrap();
        assert_eq!(store.ask(id, Err(away())).await, Ok(Some(7)));
        tokio::time::advance(FRESH).await;
        assert_eq!(store.ask(id, Err(away())).await, Err(away()));
        // A failure is not remembered.
        assert_eq!(store.ask(id, Ok(Some(8))).await, Ok(Some(8)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_exist_is_remembered_and_bounded_and_puts_out_nothing() {
        let (store, id, wrong) = (Store::new(), KeyId::new(1), KeyId::new(2));
        store.ask(id, Ok(Some(7))).await.unwrap();
        for _ in 0..5 {
            assert_eq!(store.ask(wrong, Ok(None)).await, Ok(None));
        }
        assert_eq!(store.looks(), 2);
        let now = Instant::now();
        for _ in 0..REMEMBERED_MAX * 2 {
            let _ = lock(&store.cache.slots).remember(KeyId::new(3), now, Ok(None));
        }
        assert!(lock(&store.cache.slots).unknown.len() <= REMEMBERED_MAX);
        assert!(lock(&store.cache.slots).known.contains_key(&id));
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_at_once_are_bounded_and_do_not_stop_those_who_are_known() {
        let (store, id) = (Store::new(), KeyId::new(1));
        store.ask(id, Ok(Some(7))).await.unwrap();
        tokio::time::advance(FRESH).await;
        let strangers = (0..STRANGERS_MAX + 10).map(|_| store.ask(KeyId::new(2), Ok(None)));
        let (strangers, known) = tokio::join!(futures_util::future::join_all(strangers), store.ask(id, Ok(Some(8))));
        assert_eq!(strangers.iter().filter(|answer| answer.is_err()).count(), 10);
        assert_eq!(known, Ok(Some(8)));
    }

    #[tokio::test(start_paused = true)]
    async fn where_strangers_are_not_welcome_only_those_who_were_known_are_looked_up() {
        let (store, id) = (Store::new(), KeyId::new(1));
        store.ask(id, Ok(Some(7))).await.unwrap();
        tokio::time::advance(FRESH).await;
        let look = || async { Ok(Some(Found { what: Arc::new(8), lasts: None })) };
        assert_eq!(store.cache.get(id, look, || false).await, Ok(Some(Arc::new(8))));
        assert_eq!(store.cache.get(KeyId::new(2), look, || false).await, Err(AccessError::TooManyWrong));
    }

    #[tokio::test(start_paused = true)]
    async fn what_lasts_shorter_counts_shorter_and_what_is_forgotten_not_at_all() {
        let (cache, id) = (Cache::new(), KeyId::new(1));
        let lasts = Some(Duration::from_millis(300));
        let look = || async move { Ok(Some(Found { what: Arc::new(1), lasts })) };
        assert_eq!(cache.get(id, look, || true).await, Ok(Some(Arc::new(1))));
        tokio::time::advance(Duration::from_millis(300)).await;
        assert_eq!(cache.get(id, || async { Ok(None) }, || true).await, Ok(None));
        let other = KeyId::new(2);
        cache.get(other, look, || true).await.unwrap();
        cache.forget(other);
        assert_eq!(cache.get(other, || async { Ok(None) }, || true).await, Ok(None));
    }
}
