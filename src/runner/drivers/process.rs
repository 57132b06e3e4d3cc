//! Workers as processes of this machine.
//!
//! A worker is killed by the kernel when its runner dies (`setpriv --pdeathsig KILL`); what it has started itself has
//! only its label, and is found by it when the next runner of this name starts. The kernel means the *thread* that
//! started the worker, so one thread starts them all, and lives as long as the runner.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc as threads;
use std::thread;

use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::Launch;
use super::tree::{self, Belongings, Label, Leader};

/// The variable that tells a worker which one it is.
const WORKER: &str = "GREENROOM_WORKER";
/// The variable that tells whose worker it is.
const RUNNER: &str = "GREENROOM_RUNNER";
/// What a worker has of our environment. Secrets of the runner's are not among it.
const BASE: [&str; 8] = ["PATH", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SSL_CERT_FILE", "SSL_CERT_DIR"];
/// Workers that wait to be started.
const ORDERS_MAX: usize = 16;

/// The driver.
#[derive(Debug)]
pub(in crate::runner) struct Processes {
    label: String,
    command: Vec<String>,
    passed: Vec<String>,
    orders: threads::SyncSender<Order>,
}

#[derive(Debug)]
struct Order {
    command: Command,
    answer: oneshot::Sender<io::Result<Child>>,
}

impl Processes {
    pub(super) fn new(label: String, mut command: Vec<String>, passed: Vec<String>) -> io::Result<Self> {
        // Workers run in directories of their own; a program is looked for from here.
        if let Some(program) = command.first_mut().filter(|program| program.contains('/')) {
            *program = std::path::absolute(&*program)?.to_string_lossy().into_owned();
        }
        let (orders, taken) = threads::sync_channel::<Order>(ORDERS_MAX);
        let runtime = tokio::runtime::Handle::current();
        thread::Builder::new().name("worker-parent".to_owned()).spawn(move || {
            let _within = runtime.enter();
            for mut order in taken {
                // Nobody waits any more: what was started is killed as it is dropped.
                let _ = order.answer.send(order.command.spawn());
            }
        })?;
        Ok(Self { label, command, passed, orders })
    }

    pub(super) async fn start(&self, Launch { worker, dir }: Launch<'_>) -> io::Result<Running> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(&self.command).current_dir(dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true).env_clear();
        let ours = BASE.iter().copied().chain(self.passed.iter().map(String::as_str));
        command.envs(ours.filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("HOME", dir).env("TMPDIR", dir).env(WORKER, worker).env(RUNNER, &self.label);
        let (answer, started) = oneshot::channel();
        let gone = || io::Error::other("workers cannot be started any more");
        self.orders.try_send(Order { command, answer }).map_err(|_| gone())?;
        let mut child = started.await.map_err(|_| gone())??;
        let leader = Leader::of(child.id().ok_or_else(gone)?);
        let label = Arc::new(Label::new(&[(WORKER, worker), (RUNNER, &self.label)]));
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else { return Err(gone()) };
        let members = Members { leader, label, dir: dir.to_owned() };
        Ok(Running { child, stdin, stdout: Some(stdout), stderr: Some(stderr), members })
    }

    pub(super) async fn sweep(&self) -> usize {
        let label = Label::new(&[(RUNNER, &self.label)]);
        let swept = spawn_blocking(move || tree::kill_all(None, &label)).await;
        swept.map_err(io::Error::other).flatten().unwrap_or_else(|error| {
            tracing::warn!(%error, "what an earlier runner left could not be ended");
            0
        })
    }
}

/// A worker that was started.
#[derive(Debug)]
pub(in crate::runner) struct Running {
    child: Child,
    /// The way to it.
    pub(in crate::runner) stdin: ChildStdin,
    /// The way from it, until it is taken.
    pub(in crate::runner) stdout: Option<ChildStdout>,
    /// Its log, until it is taken.
    pub(in crate::runner) stderr: Option<ChildStderr>,
    members: Members,
}

/// How its processes and files are found.
#[derive(Debug, Clone)]
struct Members {
    leader: Leader,
    label: Arc<Label>,
    dir: PathBuf,
}

impl Running {
    /// The number of its first process.
    pub(in crate::runner) fn pid(&self) -> u32 {
        self.members.leader.pid
    }

    /// Its directory.
    pub(in crate::runner) fn dir(&self) -> &Path {
        &self.members.dir
    }

    /// Waits until its first process has ended. May be given up and called again.
    pub(in crate::runner) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// What it has: processes, and files in its directory.
    pub(in crate::runner) async fn belongings(&self) -> io::Result<Belongings> {
        self.blocking(|own| Belongings::of(own.leader, &own.label, &own.dir)).await
    }

    /// The memory of all its processes.
    pub(in crate::runner) async fn memory_bytes(&self) -> io::Result<u64> {
        self.blocking(|own| tree::memory_bytes(own.leader, &own.label)).await
    }

    /// SIGTERM to all its processes.
    pub(in crate::runner) async fn ask_to_end(&self) -> io::Result<()> {
        self.blocking(|own| tree::ask_to_end(own.leader, &own.label)).await
    }

    /// SIGKILL to all its processes, until none is left.
    pub(in crate::runner) async fn kill(&mut self) -> io::Result<()> {
        self.blocking(|own| tree::kill_all(Some(own.leader), &own.label)).await?;
        self.child.wait().await.map(drop)
    }

    /// Looks through the processes of the machine: for a thread that may wait.
    async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(Members) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let members = self.members.clone();
        spawn_blocking(move || act(members)).await.map_err(io::Error::other).flatten()
    }
}
