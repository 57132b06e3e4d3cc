//! A server that speaks the sync contract and decides what a test says, and the real runner before it.
//!
//! The server is level-triggered as greenroom is: it answers with what is to be of each worker, at once where that has
//! changed, else when the long poll is over. It forgets a worker once it was told that it is gone, and puts what a call
//! adds to an earlier one together with that.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::process::{Process, greenroom, is_running, settings};
use crate::support::{PATIENCE, eventually};

/// The key that the desk takes.
pub(crate) const KEY: &str = "a-key-of-a-runner";
/// How long a long poll lasts at most.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long an instruction may take: generous, for a machine that is busy.
const WITHIN_MS: u64 = 15_000;

/// How the desk answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// With this status, and a problem.
    Refusing(u16),
    /// With a page of a proxy.
    Proxy,
    /// Something newer was heard.
    Overtaken,
}

struct Desk {
    mood: Mood,
    store: String,
    revision: u64,
    wishes: BTreeMap<String, Value>,
    /// What was told, from the first call on, each as if it had told everything.
    told: Vec<Value>,
    /// The start and number of the last report of this store.
    last: Option<(String, u64)>,
    /// Whether answers are of one worker only, and say so.
    only: Option<String>,
    instruction: u64,
}

/// The desk, a runner and a directory.
pub(crate) struct Rig {
    desk: Arc<Mutex<Desk>>,
    changed: Arc<Notify>,
    address: SocketAddr,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) runner: Process,
    command: Vec<String>,
}

/// The worker of the Python client.
pub(crate) fn echo() -> Vec<String> {
    vec![python(), root().join("clients/python/examples/echo_worker.py").display().to_string()]
}

/// The worker that `greenroom dev` shows: of all kinds it starts fastest.
pub(crate) fn demo() -> Vec<String> {
    vec![env!("CARGO_BIN_EXE_greenroom").to_owned(), "demo-worker".to_owned()]
}

/// A worker that misbehaves in this way.
pub(crate) fn bad(way: &str) -> Vec<String> {
    vec![python(), root().join("tests/fixtures/runner/worker.py").display().to_string(), way.to_owned()]
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The interpreter itself: what is on the path may be a script that looks for it.
pub(crate) fn python() -> String {
    let asked = std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    String::from_utf8(asked.expect("python3: see scripts/setup").stdout).expect("a path").trim().to_owned()
}

/// Nothing stays of a test that failed, either.
impl Drop for Rig {
    fn drop(&mut self) {
        self.runner.kill();
        for pid in self.labelled() {
            let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

impl Rig {
    /// Starts the desk, and a runner of such workers.
    pub(crate) async fn start(command: Vec<String>) -> Self {
        Self::start_with(command, &[]).await
    }

    /// The same, with more arguments.
    pub(crate) async fn start_with(command: Vec<String>, more: &[&str]) -> Self {
        let desk = Desk {
            mood: Mood::Well,
            store: "store-1".to_owned(),
            revision: 1,
            wishes: BTreeMap::new(),
            told: Vec::new(),
            last: None,
            only: None,
            instruction: 1_795_253_513_000,
        };
        let (desk, changed) = (Arc::new(Mutex::new(desk)), Arc::new(Notify::new()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = Router::new().route("/base/v1/runners/{runner}/sync", post(sync));
        let app = app.with_state((desk.clone(), changed.clone()));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let dir = tempfile::tempdir().expect("a directory");
        let runner = runner(address, dir.path(), &command, more);
        let rig = Self { desk, changed, address, dir, runner, command };
        eventually("the runner calls", async || (rig.calls() > 0).then_some(())).await;
        rig
    }

    /// Another runner of the same name, in the place of this one.
    pub(crate) fn start_again(&mut self, more: &[&str]) {
        self.runner = runner(self.address, self.dir.path(), &self.command, more);
    }

    /// The processes that carry the label of this runner, in whatever group they are.
    pub(crate) fn labelled(&self) -> Vec<u32> {
        labelled(&name(self.dir.path()))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Desk) -> T) -> T {
        let mut desk = self.desk.lock().expect("no panic");
        let outcome = act(&mut desk);
        desk.revision += 1;
        drop(desk);
        self.changed.notify_waiters();
        outcome
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.with(|desk| desk.mood = mood);
    }

    /// From now on it is another store, which knows nothing.
    pub(crate) fn empty_store(&self, name: &str) {
        self.with(|desk| {
            name.clone_into(&mut desk.store);
            desk.wishes.clear();
            desk.last = None;
        });
    }

    /// It has no longer what was told before, and yet is the same store.
    pub(crate) fn forget_reports(&self) {
        self.with(|desk| desk.last = None);
    }

    /// From now on answers are of this worker only, and say so.
    pub(crate) fn answer_only_of(&self, worker: &str) {
        self.with(|desk| desk.only = Some(worker.to_owned()));
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.desk.lock().expect("no panic").told.len()
    }

    /// All that was told from the so-and-so-many-th call on.
    pub(crate) fn told_since(&self, call: usize) -> Vec<Value> {
        self.desk.lock().expect("no panic").told[call..].to_vec()
    }

    /// What was told last of a worker.
    pub(crate) fn report(&self, worker: &str) -> Option<Value> {
        let told = self.told_since(0);
        let of = |call: &Value| call["workers"].as_array()?.iter().find(|report| report["id"] == worker).cloned();
        told.last().and_then(of)
    }

    /// Wants something of a worker.
    pub(crate) fn wish(&self, worker: &str, wish: Value) {
        self.with(|desk| desk.wishes.insert(worker.to_owned(), wish));
    }

    /// Speaks no more of a worker.
    pub(crate) fn forget(&self, worker: &str) {
        self.with(|desk| desk.wishes.remove(worker));
    }

    /// Waits until a report of the worker is as wanted, from that call on.
    pub(crate) async fn until(&self, worker: &str, from: usize, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("{worker}: {what}"), async || {
            let told = self.told_since(from);
            let reports = told.iter().filter_map(|call| call["workers"].as_array()).flatten();
            reports.filter(|report| report["id"] == worker).find(|report| is(report)).cloned()
        })
        .await
    }

    pub(crate) async fn until_state(&self, worker: &str, from: usize, state: &str) -> Value {
        self.until(worker, from, state, |report| report["state"] == state).await
    }

    /// Wants a worker to run, and waits until it is ready.
    pub(crate) async fn ready(&self, worker: &str) -> Value {
        let from = self.calls();
        self.wish(worker, json!({"action": "run"}));
        self.until_state(worker, from, "ready").await
    }

    /// Gives an instruction, and waits for its end.
    pub(crate) async fn instruct(&self, worker: &str, mut wish: Value) -> Value {
        let from = self.calls();
        let number = self.with(|desk| {
            desk.instruction += 1;
            desk.instruction
        });
        wish["instruction"] = json!(number);
        if wish["within_ms"].is_null() {
            wish["within_ms"] = json!(WITHIN_MS);
        }
        self.wish(worker, wish);
        self.until(worker, from, "the instruction ends", |report| report["instruction"] == number).await
    }

    /// Gives a worker a session.
    pub(crate) async fn assign(&self, worker: &str, session: &str) -> Value {
        let environment = json!({"SESSION_SECRET": format!("secret-of-{session}")});
        let assignment = json!({"lease": format!("lse_{session}"), "session": session, "environment": environment,
            "metadata": format!("metadata-of-{session}")});
        let report = self.instruct(worker, json!({"action": "assign", "assignment": assignment})).await;
        if report["done"] == true {
            self.wish(worker, json!({"action": "keep"}));
        }
        report
    }

    /// Has a worker forget.
    pub(crate) async fn reset(&self, worker: &str, how: &str) -> Value {
        let report = self.instruct(worker, json!({"action": "reset", "reset": how})).await;
        if report["done"] == true {
            self.wish(worker, json!({"action": "run"}));
        }
        report
    }

    /// Has a worker ended.
    pub(crate) async fn stop(&self, worker: &str) -> Value {
        let from = self.calls();
        self.wish(worker, json!({"action": "stop"}));
        self.until_state(worker, from, "gone").await
    }
}

fn runner(address: SocketAddr, dir: &Path, command: &[String], more: &[&str]) -> Process {
    start_runner((&format!("http://{address}/base/"), KEY), ("echo", &name(dir)), dir, command, more)
}

/// The real runner, calling that server with that key, for a pool and under a name.
pub(crate) fn start_runner(
    (server, key): (&str, &str),
    (pool, name): (&str, &str),
    dir: &Path,
    command: &[String],
    more: &[&str],
) -> Process {
    let work = dir.join("work").display().to_string();
    let own = ["runner", "--server", server, "--pool", pool, "--name", name, "--work-dir", &work];
    let env = ["--env", "PYTHONPATH", "--env", "PYTHONDONTWRITEBYTECODE"];
    let command = command.iter().map(String::as_str);
    let args: Vec<_> = own.into_iter().chain(env).chain(more.iter().copied()).chain(["--"]).chain(command).collect();
    let client = root().join("clients/python/src").display().to_string();
    let settings = settings([
        ("GREENROOM_API_KEY", key),
        ("GREENROOM_LOG_FORMAT", "text"),
        ("ENABLE_LOG_AGGREGATION", "false"),
        ("PYTHONPATH", &client),
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ]);
    Process::start(name, greenroom(&args, &settings), dir)
}

/// The processes that carry the label of that runner, in whatever group they are.
pub(crate) fn labelled(runner: &str) -> Vec<u32> {
    let label = format!("GREENROOM_RUNNER={runner}");
    let pids = std::fs::read_dir("/proc").expect("proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| variables(*pid).contains(&label) && is_running(*pid)).collect()
}

/// The variables that a process was started with.
pub(crate) fn variables(pid: u32) -> Vec<String> {
    let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environ.split(|byte| *byte == 0).map(|entry| String::from_utf8_lossy(entry).into_owned()).collect()
}

/// The runner's name is this test's alone: a runner ends what others of its name have left.
pub(crate) fn name(dir: &Path) -> String {
    dir.file_name().expect("a name").to_string_lossy().trim_start_matches('.').to_owned()
}

type Shared = (Arc<Mutex<Desk>>, Arc<Notify>);

async fn sync(
    State((desk, changed)): State<Shared>,
    UrlPath(runner): UrlPath<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    assert!(headers["authorization"] == format!("Bearer {KEY}"), "the key");
    assert!(runner.starts_with("tmp"), "{runner}");
    let wait = Duration::from_secs(body["wait_seconds"].as_u64().expect("a number")).min(HEARTBEAT);
    let ends = tokio::time::Instant::now() + wait;
    let known = body["revision"].as_str().and_then(|text| text.parse().ok());
    if !desk.lock().expect("no panic").hear(body) {
        let problem = json!({"code": "incomplete_report", "detail": "what it adds to is not known"});
        return (StatusCode::CONFLICT, Json(problem)).into_response();
    }
    loop {
        let change = changed.notified();
        let answer = desk.lock().expect("no panic").answer(known);
        if let Some(answer) = answer {
            return answer;
        }
        if tokio::time::timeout_at(ends, change).await.is_err() {
            return desk.lock().expect("no panic").answer(None).expect("an answer");
        }
    }
}

impl Desk {
    /// Whether it is known what the call adds to.
    fn hear(&mut self, mut call: Value) -> bool {
        call["news"] = json!(call["workers"].as_array().expect("a list").len());
        if let Some(since) = call["since"].as_u64() {
            if !self.last.as_ref().is_some_and(|(boot, last)| call["boot"] == **boot && since <= *last) {
                return false;
            }
            self.complete(&mut call);
        }
        self.last =
            Some((call["boot"].as_str().expect("a text").to_owned(), call["report"].as_u64().expect("a number")));
        if self.mood == Mood::Well && (call["store"].is_null() || call["store"] == self.store.as_str()) {
            for report in call["workers"].as_array().expect("a list") {
                let id = report["id"].as_str().expect("an id");
                if report["state"] == "gone" && self.wishes.remove(id).is_some() {
                    self.revision += 1;
                }
            }
        }
        self.told.push(call);
        true
    }

    /// With what was told before of workers that are not told of anew.
    fn complete(&self, call: &mut Value) {
        let before = self.told.last().and_then(|before| before["workers"].as_array()).cloned().unwrap_or_default();
        let news = call["workers"].as_array_mut().expect("a list");
        let is_old = |report: &Value| news.iter().all(|new| new["id"] != report["id"]);
        let old: Vec<_> = before.into_iter().filter(|report| report["state"] != "gone" && is_old(report)).collect();
        news.extend(old);
    }

    /// `None` where nothing has changed since that revision.
    fn answer(&self, known: Option<u64>) -> Option<Response> {
        match self.mood {
            Mood::Well if known == Some(self.revision) => None,
            Mood::Well => {
                let with_id = |(id, wish): (&String, &Value)| {
                    let mut wish = wish.clone();
                    wish["id"] = json!(id);
                    wish
                };
                let is_told = |(id, _): &(&String, &Value)| self.only.as_ref().is_none_or(|only| only == *id);
                let workers: Vec<_> = self.wishes.iter().filter(is_told).map(with_id).collect();
                let body = json!({"store": self.store, "revision": self.revision.to_string(), "heartbeat_seconds": 2,
                    "health_seconds": 30, "complete": self.only.is_none(), "workers": workers, "news": "of a newer server"});
                Some(Json(body).into_response())
            }
            Mood::Refusing(status) => {
                let status = StatusCode::from_u16(status).expect("a status");
                Some((status, Json(json!({"code": "redis_unavailable", "detail": "try again"}))).into_response())
            }
            Mood::Overtaken => {
                Some((StatusCode::CONFLICT, Json(json!({"code": "stale_report", "detail": "late"}))).into_response())
            }
            Mood::Proxy => Some("<html>all is well</html>".into_response()),
        }
    }
}

/// Asks an echo worker something.
pub(crate) async fn ask(endpoint: &str, path: &str, body: Option<Value>) -> Value {
    static CLIENT: LazyLock<reqwest::Client> =
        LazyLock::new(|| reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client"));
    let url = format!("{endpoint}{path}");
    let request = match body {
        Some(body) => CLIENT.post(url).header("content-type", "application/json").body(body.to_string()),
        None => CLIENT.get(url),
    };
    let text = request.send().await.expect("an answer").text().await.expect("a text");
    serde_json::from_str(&text).expect("JSON")
}
