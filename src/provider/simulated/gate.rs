//! Where a test decides what becomes of each call of a simulated server, one by one.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

/// What becomes of a call.
#[derive(Debug)]
pub enum Fate {
    /// It is carried out and answered.
    Answered,
    /// It is carried out, and its answer is lost.
    Unheard,
    /// No answer comes; it is carried out on the signal, or never where nobody can give it any more.
    Late(oneshot::Receiver<()>),
}

type Decide = dyn Fn(&'static str) -> BoxFuture<'static, Fate> + Send + Sync;

/// Asked before each call. By default each is answered.
#[derive(Clone, Default)]
pub struct Gate {
    decide: Option<Arc<Decide>>,
}

impl Gate {
    /// A gate that asks the function, which gets the call's name.
    pub fn new(decide: impl Fn(&'static str) -> BoxFuture<'static, Fate> + Send + Sync + 'static) -> Self {
        Self { decide: Some(Arc::new(decide)) }
    }

    pub(super) async fn pass(&self, call: &'static str) -> Fate {
        match &self.decide {
            Some(decide) => decide(call).await,
            None => Fate::Answered,
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("decides", &self.decide.is_some()).finish()
    }
}
