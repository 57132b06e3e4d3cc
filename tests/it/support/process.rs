//! Child processes of a test: replicas of the real binary, a load balancer, and where they listen.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::client::get;
use super::eventually;

/// An address of loopback that is this test's alone. Outgoing connections leave from 127.0.0.1, so
/// none of them takes the port while a process is being started anew.
pub(crate) fn own_address() -> SocketAddr {
    loop {
        let [a, b, c, _] = rand::random::<[u8; 4]>();
        let address = SocketAddr::from((Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254)), 18_080));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// The real binary, with these settings and no others.
pub(crate) fn greenroom(args: &[&str], settings: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
    command.args(args).env_clear().envs(settings.iter().map(|(name, value)| (name, value)));
    // Debian's daemons are not on everybody's path.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).stdin(Stdio::null());
    command
}

/// Settings as variables.
pub(crate) fn settings<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// What a command that ended has left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command of the binary to its end.
pub(crate) async fn run(args: &[&str], settings: &[(String, String)]) -> Ended {
    let mut command = greenroom(args, settings);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
    Ended {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A child; dropping it kills it, and shows what it wrote if the test fails.
pub(crate) struct Process {
    child: Child,
    name: String,
    out: PathBuf,
    err: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let err = std::fs::read_to_string(&self.err).unwrap_or_default();
            let lines: Vec<&str> = err.lines().collect();
            let tail = &lines[lines.len().saturating_sub(60)..];
            eprintln!("--- {} wrote last:\n{}", self.name, tail.join("\n"));
        }
    }
}

impl Process {
    /// Starts it; what it writes goes to files in `dir`.
    pub(crate) fn start(name: &str, mut command: Command, dir: &Path) -> Self {
        let file = |what: &str| {
            let path = dir.join(format!("{name}.{what}"));
            (File::options().create(true).append(true).open(&path).expect("a file"), path)
        };
        let ((out_file, out), (err_file, err)) = (file("out"), file("err"));
        let child = command.stdin(Stdio::null()).stdout(out_file).stderr(err_file).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{name}: {error}")), name: name.to_owned(), out, err }
    }

    /// What it has written to standard output.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// All that it has written.
    pub(crate) fn logged(&self) -> String {
        self.said() + &std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -$0 $1", signal, &pid]).status().expect("a shell");
        assert!(sent.success(), "{} could not be sent SIG{signal}", self.name);
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it ended, once it has.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually(&what, async || self.child.try_wait().expect("a child")).await
    }
}

/// A replica: `greenroom serve`.
pub(crate) struct Replica {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Replica {
    /// Starts a replica there; returns once it is ready.
    pub(crate) async fn start(address: SocketAddr, settings: &[(String, String)], dir: &Path) -> Self {
        let mut command = greenroom(&["serve"], settings);
        command.env("GREENROOM_LISTEN", address.to_string());
        let mut replica = Self { process: Process::start(&format!("replica-{}", address.ip()), command, dir), address };
        let url = replica.url("/readyz");
        eventually("a replica is ready", async || {
            assert_eq!(replica.process.child.try_wait().expect("a child"), None, "the replica ended at once");
            get(&url).await.ok().filter(|answer| answer.status() == 200)
        })
        .await;
        replica
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Whether it says that it leads; `None` where it does not answer.
    pub(crate) async fn leads(&self) -> Option<bool> {
        let text = get(&self.url("/metrics")).await.ok()?.text().await.ok()?;
        Some(text.lines().any(|line| line == "greenroom_leader 1"))
    }
}

/// A load balancer (haproxy) before replicas.
pub(crate) struct Balancer {
    _process: Process,
    address: SocketAddr,
}

impl Balancer {
    /// Starts one, and waits until all replicas are up for it.
    pub(crate) async fn start(replicas: &[SocketAddr], dir: &Path) -> Self {
        let address = own_address();
        let servers = replicas.iter().enumerate();
        let servers: Vec<_> =
            servers.map(|(n, at)| format!("    server r{n} {at} check inter 200ms fall 1 rise 1\n")).collect();
        let servers = servers.concat();
        let text = format!(
            "global\n    maxconn 8000\n\
             defaults\n    mode http\n    timeout connect 1s\n    timeout client 60s\n    timeout server 60s\n    timeout check 5s\n\
             \x20   retries 3\n    retry-on conn-failure\n    option redispatch\n\
             frontend front\n    bind {address}\n    default_backend replicas\n\
             backend replicas\n    balance roundrobin\n    option httpchk GET /readyz\n{servers}\
             frontend stats\n    bind {}:18081\n    stats enable\n    stats uri /stats\n",
            address.ip()
        );
        let path = dir.join("haproxy.cfg");
        std::fs::write(&path, text).expect("a file");
        let mut command = Command::new("haproxy");
        let search = std::env::var("PATH").unwrap_or_default();
        command.arg("-db").arg("-f").arg(path).env("PATH", format!("{search}:/usr/sbin:/sbin"));
        let balancer = Self { _process: Process::start("haproxy", command, dir), address };
        balancer.until_up(replicas.len()).await;
        balancer
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until it sends requests to this many replicas.
    pub(crate) async fn until_up(&self, replicas: usize) {
        let url = format!("http://{}:18081/stats;csv", self.address.ip());
        let what = format!("the balancer sees {replicas} replicas up");
        eventually(&what, async || {
            let text = reqwest::get(&url).await.ok()?.text().await.ok()?;
            let rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
            let up = rows.filter(|row| row.len() > 17 && row[1].starts_with('r') && row[17] == "UP").count();
            (up == replicas).then_some(())
        })
        .await;
    }
}

/// Whether a process runs: it is there, and not merely waiting to be collected.
pub(crate) fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Fails the test when `began` is too long ago: a generous ceiling, not a speed.
pub(crate) fn assert_within(began: Instant, ceiling: Duration, what: &str) {
    let took = began.elapsed();
    assert!(took < ceiling, "{what} took {took:?}, more than {ceiling:?}");
}
