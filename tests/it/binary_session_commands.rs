//! `greenroom session`, as a shell sees it: what it prints, and how it ends.

use serde_json::{Value, json};

use crate::runner_desk::demo;
use crate::support::process::{Ended, run, settings};
use crate::support::yard::{Caller, POOL, Yard};

/// What is said of one of the sessions: a line for each that is listed.
fn line_of<'a>(ended: &'a Ended, lease: &Value) -> &'a str {
    let worker = lease["worker"].as_str().expect("a worker");
    let line = ended.out.lines().find(|line| line.ends_with(&format!("  on {worker}")));
    line.unwrap_or_else(|| panic!("{worker} in {ended:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn session_lists_shows_and_ends_sessions_by_name_and_by_key() {
    let mut yard = Yard::start(1, json!({"min": 3, "max": 3, "keyed_max": 1})).await;
    yard.add_runner(&demo(), 3);
    yard.until_ready(3).await;
    let own = settings([("REDIS_URL", &yard.redis.url())]);
    let session = async |words: &[&str]| run(&[&["session"], words].concat(), &own).await;
    let said = |code, out: &str| Ended { code: Some(code), out: out.to_owned(), err: String::new() };
    assert_eq!(session(&["list", POOL]).await, said(0, ""));

    let caller = Caller::of(&yard);
    let begin = async |wish: Value| caller.lease(wish).await.expect("an answer").1;
    let named = begin(json!({"session": "ann b", "wait_seconds": 20})).await;
    let keyed = begin(json!({"key": "ann b", "wait_seconds": 20})).await;
    let unnamed = begin(json!({"wait_seconds": 20})).await;
    let listed = session(&["list", POOL]).await;
    assert_eq!((listed.code, listed.out.lines().count()), (Some(0), 3), "{listed:?}");
    for (lease, name) in [(&named, "ann b  "), (&keyed, "key ann b  "), (&unnamed, "-  ")] {
        let line = line_of(&listed, lease);
        assert!(line.starts_with(name) && line.contains("  held ") && line.contains("  healthy  "), "{line}");
    }
    // A name and a key are two things.
    let get = session(&["get", POOL, "ann b"]).await;
    assert_eq!(get, said(0, &format!("{}\n", line_of(&listed, &named))));
    assert_eq!(caller.release(&keyed).await, Some(204));
    let idle = session(&["get", POOL, "ann b", "--key"]).await;
    assert!(idle.code == Some(0) && line_of(&idle, &keyed).contains("  idle "), "{idle:?}");

    // Another tenant has a pool of that name of its own: none of these sessions is in it.
    assert_eq!(session(&["list", POOL, "--tenant", "acme"]).await, said(0, ""));
    assert_eq!(session(&["end", POOL, "ann b", "--tenant", "acme"]).await, said(0, "it is over\n"));
    assert_eq!(session(&["get", POOL, "ann b"]).await, get, "it goes on");

    let none = Ended { err: "greenroom: there is no such session\n".to_owned(), ..said(1, "") };
    for _ in 0..2 {
        assert_eq!(session(&["end", POOL, "ann b"]).await, said(0, "it is over\n"));
        assert_eq!(session(&["get", POOL, "ann b"]).await, none);
    }
    let path = format!("/v1/leases/{}/renew", named["id"].as_str().expect("an id"));
    let renewal = caller.post(&path, json!({"token": named["token"]})).await.expect("an answer");
    assert_eq!(renewal.1["code"], "lease_lost", "who held it hears so");
    assert_eq!(session(&["get", POOL, "ann b", "--key"]).await, idle, "the key is another session");
    assert_eq!(session(&["end", POOL, "ann b", "--key"]).await, said(0, "it is over\n"));
    assert_eq!(session(&["get", POOL, "ann b", "--key"]).await, none);
    let left = session(&["list", POOL]).await;
    assert!(left.out.lines().eq([line_of(&listed, &unnamed)]), "{left:?}");
    assert_eq!(caller.release(&unnamed).await, Some(204));
    assert_eq!(yard.until_ready(3).await["resets_proved"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_refuses_what_is_no_name_and_knows_no_session_of_a_pool_that_is_not_there() {
    let yard = Yard::start(1, json!({})).await;
    let own = settings([("REDIS_URL", &yard.redis.url())]);
    let long = "x".repeat(129);
    for (words, code, out, err) in [
        (&["list", "none"][..], 0, "", ""),
        (&["get", "none", "ann"], 1, "", "there is no such session"),
        (&["end", "none", "ann"], 0, "it is over\n", ""),
        (&["list", "ann's"], 1, "", "the pool's name: must hold letters"),
        (&["get", POOL, ""], 1, "", "the session's name: must not be empty"),
        (&["end", POOL, &long, "--key"], 1, "", "the session's name: must have at most 128"),
        (&["list", POOL, "--tenant", "a b"], 1, "", "the tenant's name: must hold letters"),
        (&["get", POOL], 2, "", "<NAME>"),
        (&["pause", POOL, "ann"], 2, "", "unrecognized subcommand"),
    ] {
        let ended = run(&[&["session"], words].concat(), &own).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), out), "{words:?}: {ended:?}");
        assert!(ended.err.contains(err) && ended.err.is_empty() == err.is_empty(), "{words:?}: {ended:?}");
    }
}
