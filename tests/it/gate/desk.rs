//! Where every command to Redis and every call of the provider waits until the schedule lets it through.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use greenroom::provider::simulated::gate::{Fate, Gate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::resp::{Redis, take_command};

/// The replicas hand this in as the time; it becomes Redis's when the command is carried out.
pub(super) const MARK: u64 = 7_777_777_777_777;

/// What waits: in front of Redis, or of the provider.
pub(super) enum Waits {
    Command { words: Vec<Vec<u8>>, slot: usize, connection: mpsc::UnboundedSender<Reply> },
    Call(oneshot::Sender<Fate>),
}

pub(super) struct Held {
    pub(super) actor: usize,
    pub(super) name: String,
    pub(super) waits: Waits,
}

/// What a connection is told.
pub(super) enum Reply {
    Answer(usize, Vec<u8>),
    Close,
}

#[derive(Default)]
struct State {
    held: Vec<Held>,
    dead: HashSet<usize>,
    events: u64,
}

/// The desk of one schedule. Cheap to clone.
#[derive(Clone)]
pub(super) struct Desk {
    state: Arc<Mutex<State>>,
    scripts: Scripts,
}

/// The scripts that Redis knows: what each hash is called.
pub(super) type Scripts = Arc<HashMap<String, String>>;

/// Has Redis learn all scripts. Else the first call of each would take another way than those after it.
pub(super) fn load_scripts(redis: &mut Redis) -> Scripts {
    let load = |(path, source): (&str, &str)| {
        let hash = redis.strings(&["SCRIPT", "LOAD", source]).concat();
        (hash, path.trim_end_matches(".lua").to_owned())
    };
    Arc::new(greenroom::store::scripts().map(load).collect())
}

impl Desk {
    pub(super) fn new(scripts: Scripts) -> Self {
        Self { state: Arc::default(), scripts }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts whatever happens, so that silence can be noticed.
    pub(super) fn events(&self) -> u64 {
        self.state().events
    }

    pub(super) fn note(&self) {
        self.state().events += 1;
    }

    /// Takes what waits, in an order that a replay finds again.
    pub(super) fn take_held(&self) -> Vec<Held> {
        let mut held = std::mem::take(&mut self.state().held);
        held.sort_by(|a, b| (a.actor, &a.name).cmp(&(b.actor, &b.name)));
        held
    }

    pub(super) fn put_back(&self, held: Vec<Held>) {
        self.state().held = held;
    }

    /// From now on nothing of the actor is heard or answered.
    pub(super) fn kill(&self, actor: usize) {
        let mut state = self.state();
        state.dead.insert(actor);
        state.held.retain(|held| held.actor != actor);
    }

    fn hold(&self, actor: usize, name: String, waits: Waits) {
        let mut state = self.state();
        state.events += 1;
        if !state.dead.contains(&actor) {
            state.held.push(Held { actor, name, waits });
        }
    }

    /// Carries a command out at Redis, at the time that it is there.
    pub(super) fn carry_out(redis: &mut Redis, words: &[Vec<u8>], now_ms: u64) -> Vec<u8> {
        let (mark, now) = (MARK.to_string().into_bytes(), now_ms.to_string().into_bytes());
        let timed: Vec<&[u8]> = words.iter().map(|word| if *word == mark { &now[..] } else { &word[..] }).collect();
        redis.call(&timed)
    }

    /// The gate of a replica's provider.
    pub(super) fn gate(&self, actor: usize) -> Gate {
        let desk = self.clone();
        Gate::new(move |call| {
            let (sender, receiver) = oneshot::channel();
            desk.hold(actor, call.to_owned(), Waits::Call(sender));
            async move {
                match receiver.await {
                    Ok(fate) => fate,
                    Err(_) => std::future::pending().await,
                }
            }
            .boxed()
        })
    }

    /// Takes connections of replicas; which one it is, each says by the number of the database.
    pub(super) async fn listen(self, listener: UnixListener) {
        while let Ok((stream, _)) = listener.accept().await {
            self.note();
            tokio::spawn(Connection::new(self.clone()).run(stream));
        }
    }
}

struct Connection {
    desk: Desk,
    actor: usize,
    /// Answers by their place in the order of the commands; `None` while one is waited for.
    answers: Vec<Option<Vec<u8>>>,
    written: usize,
}

impl Connection {
    fn new(desk: Desk) -> Self {
        Self { desk, actor: usize::MAX, answers: Vec::new(), written: 0 }
    }

    async fn run(mut self, mut stream: UnixStream) {
        let (sender, mut replies) = mpsc::unbounded_channel();
        let (mut buffer, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            tokio::select! {
                biased;
                reply = replies.recv() => match reply {
                    Some(Reply::Answer(slot, answer)) => self.answers[slot] = Some(answer),
                    Some(Reply::Close) | None => return,
                },
                read = stream.read(&mut chunk) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(count) => buffer.extend_from_slice(&chunk[..count]),
                },
            }
            while let Some(words) = take_command(&mut buffer) {
                self.receive(words, &sender);
            }
            while let Some(Some(answer)) = self.answers.get(self.written) {
                if stream.write_all(answer).await.is_err() {
                    return;
                }
                self.written += 1;
            }
            self.desk.note();
        }
    }

    fn receive(&mut self, words: Vec<Vec<u8>>, sender: &mpsc::UnboundedSender<Reply>) {
        let verb = String::from_utf8_lossy(&words[0]).to_ascii_uppercase();
        let word = |at: usize| String::from_utf8_lossy(words.get(at).map_or(&[][..], |word| word)).into_owned();
        let name = match verb.as_str() {
            "SELECT" => {
                self.actor = word(1).parse::<usize>().expect("a number") - 1;
                return self.answers.push(Some(b"+OK\r\n".to_vec()));
            }
            "CLIENT" => return self.answers.push(Some(b"+OK\r\n".to_vec())),
            "EVALSHA" => self.desk.scripts.get(&word(1)).cloned().expect("a script that was loaded"),
            _ => verb,
        };
        let slot = self.answers.len();
        self.answers.push(None);
        self.desk.hold(self.actor, name, Waits::Command { words, slot, connection: sender.clone() });
    }
}
