//! `greenroom demo-worker`: the worker of the pool that `greenroom dev` shows. It remembers what it is told, and forgets
//! it between two sessions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use secrecy::{ExposeSecret as _, SecretString};

use super::CliError;
use crate::worker::{FromWorker, Item, ToWorker, Worker};

/// The most that it remembers of a session.
const TEXTS_MAX: usize = 1_000;

/// What it knows, by item; the canary of the session is apart, for it is nobody's word.
#[derive(Debug, Default)]
struct Memory {
    texts: BTreeMap<Item, Vec<String>>,
    canary: Option<SecretString>,
    requests: u64,
}

type Shared = Arc<Mutex<Memory>>;

pub(super) async fn run() -> Result<(), CliError> {
    let memory = Shared::default();
    let app = Router::new().route("/say", post(say)).route("/recall", get(recall)).with_state(Arc::clone(&memory));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("a free port")?;
    let endpoint = format!("http://{}", listener.local_addr().context("an address")?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let serve = async {
        let mut worker = Worker::of_the_process("greenroom-demo/1").await?;
        worker.say(&FromWorker::Ready { endpoint: Some(endpoint) }).await?;
        while let Some(told) = worker.next().await? {
            let answer = answer(&mut memory.lock().unwrap_or_else(PoisonError::into_inner), told);
            if let Some(answer) = answer {
                worker.say(&answer).await?;
            }
        }
        anyhow::Ok(())
    };
    Ok(serve.await?)
}

fn answer(memory: &mut Memory, told: ToWorker) -> Option<FromWorker> {
    Some(match told {
        ToWorker::Assign { seq, session, canary, .. } => {
            memory.texts.insert(Item::UserContext, vec![format!("it serves {session}")]);
            memory.canary = Some(canary);
            FromWorker::Assigned { seq }
        }
        ToWorker::Health { seq } => FromWorker::Healthy { seq, requests: memory.requests, errors: 0 },
        ToWorker::Reset { seq, items } => {
            memory.texts.clear();
            (memory.canary, memory.requests) = (None, 0);
            let items = items.into_iter().map(|item| (item.as_str().to_owned(), !memory.texts.contains_key(&item)));
            FromWorker::ResetDone { seq, items: items.collect() }
        }
        ToWorker::Check { seq, canary } => {
            let holds = |text: &str| text.contains(canary.expose_secret());
            let known = memory.texts.iter().filter(|(_, texts)| texts.iter().any(|text| holds(text)));
            let mut held_by: Vec<String> = known.map(|(item, _)| item.as_str().to_owned()).collect();
            if memory.canary.as_ref().is_some_and(|own| holds(own.expose_secret())) {
                held_by.push(Item::Memory.as_str().to_owned());
            }
            FromWorker::Checked { seq, held_by }
        }
        ToWorker::Hello { .. } | ToWorker::Drain {} | ToWorker::Unknown => return None,
    })
}

/// Remembers the text.
async fn say(State(memory): State<Shared>, text: String) -> Json<Vec<String>> {
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    memory.requests += 1;
    let said = memory.texts.entry(Item::Conversation).or_default();
    if said.len() < TEXTS_MAX {
        said.push(text);
    }
    Json(all(&memory))
}

/// Tells all that it knows.
async fn recall(State(memory): State<Shared>) -> Json<Vec<String>> {
    Json(all(&memory.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn all(memory: &Memory) -> Vec<String> {
    memory.texts.values().flatten().cloned().collect()
}
