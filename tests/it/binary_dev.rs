//! `greenroom dev`: what it prints works, and it leaves nothing behind, however it ends.

use std::net::TcpStream;
use std::process::Command;

use crate::support::eventually;
use crate::support::process::{Process, greenroom, is_running, own_address, settings};

struct Dev {
    process: Process,
    greeting: String,
    redis_port: u16,
    redis_pid: u32,
    dir: tempfile::TempDir,
}

async fn dev(arguments: &[&str]) -> Dev {
    let dir = tempfile::tempdir().expect("a directory");
    let address = own_address().to_string();
    let arguments = [&["dev", "--listen", &address], arguments].concat();
    let own = settings([("GREENROOM_LOG_FORMAT", "text"), ("TMPDIR", &dir.path().to_string_lossy())]);
    let process = Process::start("dev", greenroom(&arguments, &own), dir.path());
    let greeting = eventually("it greets", async || {
        let said = process.said();
        said.contains("See it in Redis:").then_some(said).filter(|said| said.ends_with('\n'))
    })
    .await;
    assert!(greeting.contains(&format!("http://{address}")), "{greeting}");
    let port = greeting.split_once("redis-cli -p ").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit));
    let redis_port: u16 = port.expect("Redis's port").collect::<String>().parse().expect("a port");
    let client = redis::Client::open(format!("redis://127.0.0.1:{redis_port}")).expect("a client");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.expect("an answer");
    let pid = info.lines().find_map(|line| line.strip_prefix("process_id:")).expect("its pid");
    Dev { process, greeting, redis_port, redis_pid: pid.trim().parse().expect("a pid"), dir }
}

/// Runs the printed command that begins with `start` and tells of `what`, as a reader would.
fn run_printed(greeting: &str, start: &str, what: &str) -> String {
    let line = greeting.lines().map(str::trim).find(|line| line.starts_with(start) && line.contains(what));
    let output = Command::new("sh").arg("-c").arg(line.expect("a command")).output().expect("a shell");
    assert!(output.status.success(), "{line:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn assert_redis_is_gone(dev: &Dev) {
    eventually("Redis is gone", async || {
        let refused = TcpStream::connect(("127.0.0.1", dev.redis_port)).is_err();
        (refused && !is_running(dev.redis_pid)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dev_prints_works_and_an_interrupt_ends_it() {
    let mut dev = dev(&["--replicas", "2"]).await;
    assert_eq!(dev.greeting.matches("http://127.").count(), 4, "two replicas and two curls: {}", dev.greeting);
    let ask = || run_printed(&dev.greeting, "curl ", "/v1/dispatches");
    let answers = [ask(), ask()];
    let answers = answers.map(|text| serde_json::from_str::<serde_json::Value>(&text).expect("JSON"));
    assert_eq!(answers[0]["id"], answers[1]["id"]);
    assert_eq!((&answers[0]["reused"], &answers[1]["reused"]), (&false.into(), &true.into()));
    let seen = run_printed(&dev.greeting, "redis-cli ", "HGETALL");
    assert!(seen.contains(answers[0]["id"].as_str().expect("an id")), "{seen}");
    let lease = run_printed(&dev.greeting, "curl ", "/v1/pools/demo/leases");
    let lease: serde_json::Value = serde_json::from_str(&lease).expect("JSON");
    assert_eq!((&lease["state"], &lease["session"]), (&"held".into(), &"ann".into()), "{lease}");

    dev.process.signal("INT");
    assert_eq!(dev.process.ended().await.code(), Some(0));
    assert_redis_is_gone(&dev).await;
    let left = std::fs::read_dir(dev.dir.path()).expect("a directory").flatten();
    let left: Vec<_> =
        left.map(|entry| entry.file_name()).filter(|name| *name != "dev.out" && *name != "dev.err").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_dev_leaves_no_redis() {
    let mut dev = dev(&[]).await;
    assert!(is_running(dev.redis_pid));
    dev.process.kill();
    assert_redis_is_gone(&dev).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dev_that_cannot_listen_says_so_and_leaves_no_redis() {
    let address = own_address();
    let taken = std::net::TcpListener::bind(address).expect("an address");
    let dir = tempfile::tempdir().expect("a directory");
    let own = settings([("TMPDIR", &dir.path().to_string_lossy())]);
    let ended = crate::support::process::run(&["dev", "--listen", &address.to_string()], &own).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains(&format!("cannot listen on {address}")), "{}", ended.err);
    assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 0);
    drop(taken);
}
