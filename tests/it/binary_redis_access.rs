//! Redis that wants a name and a password, and speaks TLS: what `REDIS_URL` promises, with real servers.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::process::{Replica, own_address, run, settings};
use crate::support::redis::{TestRedis, command};
use crate::support::server::{Server, free_port};

const KEY: &str = "a-key-of-a-test";
/// A user and its rules, as Redis's configuration has them.
const USER: [&str; 6] = ["greenroom", "on", ">p@ss", "~*", "&*", "+@all"];

/// A certificate of `localhost`, by an authority of the test's own: files in the directory.
fn certify(dir: &Path) {
    let openssl = |args: &str| {
        let output = Command::new("openssl").args(args.split(' ')).current_dir(dir).output().expect("scripts/setup");
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test"));
    openssl(&format!("req {key} -keyout own.key -out own.csr -subj /CN=localhost"));
    std::fs::write(dir.join("names"), "subjectAltName=DNS:localhost").expect("a file");
    openssl("x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out own.pem -days 2 -extfile names");
}

fn settings_for(url: &str) -> Vec<(String, String)> {
    settings([("REDIS_URL", url), ("GREENROOM_API_KEY", KEY), ("GREENROOM_DISPATCH_PROVIDER", "simulated")])
}

/// Two replicas find one agent, and Redis knows both, as they ask and as they listen, as the user.
async fn check_that_it_serves(own: &[(String, String)], dir: &Path, server: &Server) {
    let replicas = [Replica::start(own_address(), own, dir).await, Replica::start(own_address(), own, dir).await];
    let client = Client::new(Duration::from_secs(20));
    let mut ids = Vec::new();
    for replica in &replicas {
        let request = client.post(replica.url("/v1/dispatches")).bearer_auth(KEY);
        let answer = request.json(&json!({"room": "lobby", "agent": "guide"})).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
        ids.push(answer.json::<Value>().await.expect("JSON")["id"].clone());
    }
    assert!(ids[0].is_string() && ids[0] == ids[1], "{ids:?}");
    for kind in ["normal", "pubsub"] {
        eventually(&format!("two are there as {kind}"), async || {
            let clients = server.query(&command(&["CLIENT", "LIST", "TYPE", kind])).await.expect("clients");
            let clients: String = redis::FromRedisValue::from_redis_value(clients).expect("a text");
            (clients.lines().filter(|line| line.contains("user=greenroom")).count() >= 2).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_speaks_tls_and_wants_a_password_serves_those_who_have_it_and_trust_it() {
    let dir = tempfile::tempdir().expect("a directory");
    certify(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (port, cert, key) = (free_port().to_string(), file("own.pem"), file("own.key"));
    let tls = ["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    let server = Server::start(&[&tls[..], &["--user"], &USER].concat()).await;
    let trusting = |url: &str| {
        let mut own = settings_for(url);
        own.extend(settings([("SSL_CERT_FILE", &file("ca.pem"))]));
        own
    };
    let url = format!("rediss://greenroom:p%40ss@localhost:{port}");
    check_that_it_serves(&trusting(&url), dir.path(), &server).await;

    let stranger = run(&["doctor"], &settings_for(&url)).await;
    assert_eq!(stranger.code, Some(1), "{stranger:?}");
    assert!(stranger.out.contains("invalid peer certificate"), "{stranger:?}");
    let guessing = run(&["doctor"], &trusting(&url.replace("p%40ss", "wrong"))).await;
    assert_eq!(guessing.code, Some(1), "{guessing:?}");
    assert!(guessing.out.contains("AuthenticationFailed") && !guessing.out.contains("wrong"), "{guessing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_their_master_may_each_want_a_password() {
    let (dir, redis) = (tempfile::tempdir().expect("a directory"), TestRedis::with_sentinels_and(&USER).await);
    let sentinels = redis.url().replace("redis-sentinel://", "redis-sentinel://greenroom:p%40ss@");
    let url = format!("{sentinels}?sentinel_auth=greenroom:p%40ss");
    check_that_it_serves(&settings_for(&url), dir.path(), &redis.servers()[0]).await;
    let guessing = run(&["doctor"], &settings_for(&format!("{sentinels}?sentinel_auth=greenroom:wrong"))).await;
    assert_eq!(guessing.code, Some(1), "{guessing:?}");
}
