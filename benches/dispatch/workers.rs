//! Sessions on real workers, one after another: a warm worker beside one that has to start, and how long a worker takes
//! to forget. A runner and its workers are processes of their own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::children::{self, Child, Redis};
use super::load::{self, Connection, micros};

/// How many sessions get a worker that is spare.
const WARM: usize = 200;
/// How many get one that starts for them.
const COLD: usize = 20;
const POOL: &str = "/v1/pools/bench";
/// How often it is asked whether a worker is as it should be; that is in no figure.
const PAUSE: Duration = Duration::from_millis(5);
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prints what sessions of workers in Python and in Rust take.
pub(crate) async fn one_after_another() {
    println!("\n| sessions on real workers, one after another | p50 ms | p99 ms | aim |\n|---|--:|--:|--:|");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let echo = root.join("clients/python/examples/echo_worker.py").display().to_string();
    let demo = env!("CARGO_BIN_EXE_greenroom").to_owned();
    for (language, command) in [("Python", [python(), echo]), ("Rust", [demo, "demo-worker".to_owned()])] {
        let redis = Redis::start().await;
        let replica = Child::replica(&redis);
        replica.until_ready("/readyz").await;
        let house = House { replica, client: reqwest::Client::new() };
        // Each worker goes after its session, and the next session waits until it has.
        house.define(json!({"spare": 0, "max": 1, "reset_mode": "fresh", "foresee": false})).await;
        let _runner = Runner::start(&house.replica, &command);
        let cold = house.cold_starts(COLD).await;
        house.define(json!({"min": 2, "max": 2, "sessions_max": 1_000_000})).await;
        let (warm, resets) = house.warm_sessions(WARM).await;
        let (warm_p99, reset_p99) = (ms(&warm, 0.99), ms(&resets, 0.99));
        println!("| **warm allocation, {language}** | {} | {warm_p99} | 100 |", ms(&warm, 0.5));
        println!("| cold start, {language} | {} | – | – |", ms(&cold, 0.5));
        println!("| **reset, {language}** | {} | {reset_p99} | 500 |", ms(&resets, 0.5));
    }
}

/// The interpreter itself: what is on the path may be a script that looks for it.
fn python() -> String {
    let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    String::from_utf8(asked.expect("python3").stdout).expect("a path").trim().to_owned()
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("a histogram")
}

fn ms(of: &Histogram<u64>, quantile: f64) -> String {
    format!("{:.1}", f64::from(u32::try_from(of.value_at_quantile(quantile)).unwrap_or(u32::MAX)) / 1000.0)
}

/// A real runner; when it is killed its workers go with it.
struct Runner {
    process: std::process::Child,
    // Ends with the runner.
    _dir: tempfile::TempDir,
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Runner {
    fn start(replica: &Child, worker: &[String]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
        command.env_clear().env("PATH", std::env::var("PATH").unwrap_or_default());
        command.env("GREENROOM_API_KEY", children::KEY);
        command.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/src"));
        command.args(["runner", "--pool", "bench", "--env", "PYTHONPATH"]);
        command.args(["--server", &format!("http://{}", replica.address), "--work-dir"]).arg(dir.path());
        command.arg("--").args(worker).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { process: command.spawn().expect("a runner"), _dir: dir }
    }
}

/// A replica, and who asks it.
struct House {
    replica: Child,
    client: reqwest::Client,
}

impl House {
    fn call(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.replica.address);
        self.client.request(method, url).header("authorization", children::authorization())
    }

    async fn define(&self, settings: Value) {
        let answer = self.call(reqwest::Method::PUT, POOL).json(&settings).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Waits until what is there is as it should be.
    async fn until<T>(&self, path: &str, is: impl Fn(&Value) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            let answer = self.call(reqwest::Method::GET, path).send().await.expect("an answer");
            let found = answer.json::<Value>().await.expect("JSON");
            if let Some(it) = is(&found) {
                return it;
            }
            assert!(began.elapsed() < PATIENCE, "it does not become so: {found}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until there are so many workers, all of them ready.
    async fn until_ready(&self, workers: u64) {
        let are = |pool: &Value| {
            let by_state = pool["status"]["workers"].as_object()?;
            let all: u64 = by_state.values().filter_map(Value::as_u64).sum();
            let ready = by_state.get("ready").and_then(Value::as_u64).unwrap_or_default();
            (all == workers && ready == workers).then_some(())
        };
        self.until(POOL, are).await;
    }

    /// A session from its beginning to its end, in which something is said; its worker, and how long it took until the
    /// session had that, in microseconds.
    async fn session(&self, connection: &mut Connection) -> (String, u64) {
        let address = self.replica.address;
        let ask = load::post(address, &format!("{POOL}/leases"), r#"{"wait_seconds":20}"#);
        let asked = Instant::now();
        let answer = connection.exchange(&ask).await;
        let took = micros(asked);
        let lease: Value = serde_json::from_slice(answer).expect("JSON");
        let text = |field: &str| lease[field].as_str().expect("a text").to_owned();
        let said = self.client.post(format!("{}/say", text("endpoint"))).body(r#"{"text":"my card number"}"#);
        assert!(said.send().await.expect("an answer").status().is_success());
        let path = format!("/v1/leases/{}/release", text("id"));
        connection.exchange(&load::post(address, &path, &format!(r#"{{"token":{}}}"#, lease["token"]))).await;
        (text("worker"), took)
    }

    async fn cold_starts(&self, sessions: usize) -> Histogram<u64> {
        let (mut cold, mut connection) = (histogram(), Connection::open(self.replica.address).await);
        for _ in 0..sessions {
            self.until_ready(0).await;
            let (_, took) = self.session(&mut connection).await;
            cold.record(took).expect("in range");
        }
        cold
    }

    /// How long sessions waited for a worker that was spare, and how long each worker took to be ready again.
    async fn warm_sessions(&self, sessions: usize) -> (Histogram<u64>, Histogram<u64>) {
        let (mut warm, mut resets) = (histogram(), histogram());
        let mut connection = Connection::open(self.replica.address).await;
        self.until_ready(2).await;
        for _ in 0..sessions {
            let (worker, took) = self.session(&mut connection).await;
            warm.record(took).expect("in range");
            resets.record(self.until(&format!("/v1/workers/{worker}"), reset_us).await).expect("in range");
        }
        (warm, resets)
    }
}

/// How long the worker's last reset took by Redis's clock, which tells milliseconds; nothing until it is ready again.
fn reset_us(worker: &Value) -> Option<u64> {
    let step = |n: usize, state: &str| {
        let step = worker["history"].get(n).filter(|step| step["state"] == state)?;
        chrono::DateTime::parse_from_rfc3339(step["at"].as_str()?).ok()
    };
    u64::try_from((step(0, "ready")? - step(1, "resetting")?).num_microseconds()?).ok()
}
