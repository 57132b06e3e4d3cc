//! The commands of an operator, as a shell sees them: what they print, and how they end.

use crate::support::eventually;
use crate::support::process::{own_address, run, settings};
use crate::support::redis::TestRedis;
use crate::support::stage::{AGENT, Stage, ask, client};

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_what_is_wrong_and_says_what_to_do() {
    let mut stage = Stage::start().await;
    let noted = run(&["doctor"], &stage.settings).await;
    assert_eq!(noted.code, Some(0), "{noted:?}");
    assert!(noted.out.contains("note persistence") && !noted.out.contains("FAIL"), "{noted:?}");

    stage.redis.run::<String>(&["CONFIG", "SET", "appendonly", "yes"]).await;
    let good = run(&["doctor"], &stage.settings).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(!good.out.contains("FAIL") && good.out.lines().all(|line| line.starts_with("ok ")), "{good:?}");

    let keyless = run(&["doctor"], &stage.settings_without("GREENROOM_API_KEY")).await;
    assert_eq!(keyless.code, Some(1));
    assert!(keyless.out.contains("FAIL no API key: set GREENROOM_API_KEY"), "{keyless:?}");

    stage.redis.run::<String>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let evicting = run(&["doctor"], &stage.settings).await;
    assert_eq!(evicting.code, Some(1));
    assert!(evicting.out.contains("FAIL maxmemory-policy allkeys-lru"), "{evicting:?}");
    assert!(evicting.out.contains("CONFIG SET maxmemory-policy noeviction"), "{evicting:?}");
    stage.redis.run::<String>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;

    stage.set("LIVEKIT_API_SECRET", "not-the-secret-of-this-server-but-long-enough");
    let secret = run(&["doctor"], &stage.settings).await;
    assert_eq!(secret.code, Some(1));
    assert!(secret.out.contains("FAIL LiveKit") && secret.out.contains("LIVEKIT_API_SECRET"), "{secret:?}");
    assert!(!secret.out.contains("not-the-secret") && !secret.err.contains("not-the-secret"), "{secret:?}");

    stage.set("REDIS_URL", &format!("redis://{}", own_address()));
    let redis = run(&["doctor"], &stage.settings).await;
    assert_eq!(redis.code, Some(1));
    assert!(redis.out.contains("FAIL Redis") && redis.out.contains("REDIS_URL"), "{redis:?}");
    assert!(redis.err.contains("2 of "), "LiveKit is checked as well: {redis:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_makes_the_schema_once() {
    let redis = TestRedis::start().await;
    let own = settings([("REDIS_URL", &redis.url()), ("GREENROOM_REDIS_SHARDS", "4")]);
    let first = run(&["migrate"], &own).await;
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.out.contains("4 shards"), "{first:?}");
    let second = run(&["migrate"], &own).await;
    assert_eq!((second.code, &second.out), (Some(0), &first.out));
    // A store keeps its shards, whatever the settings say later.
    let third = run(&["migrate"], &settings([("REDIS_URL", &redis.url())])).await;
    assert_eq!((third.code, &third.out), (Some(0), &first.out));
}

#[tokio::test(flavor = "multi_thread")]
async fn key_names_what_redis_has_and_explain_says_why() {
    let mut stage = Stage::start().await;
    stage.set("GREENROOM_REDIS_SHARDS", "8");
    let replica = stage.replica().await;
    // The commands ask the store for its shards; the settings of whoever types need not say them.
    let own = stage.settings_without("GREENROOM_REDIS_SHARDS");
    let none = run(&["explain", "lobby"], &own).await;
    assert_eq!(none.code, Some(1));
    assert!(none.err.contains("nothing is known of this room"), "{none:?}");

    let made = ask(&client(), &replica.url("/v1/dispatches"), "lobby").await.expect("an answer");
    assert_eq!(made.status, 201);
    let id = made.id();
    let room = run(&["key", "room:lobby", &format!("room:lobby:{AGENT}"), &format!("dispatch:{id}")], &own).await;
    assert_eq!(room.code, Some(0), "{room:?}");
    let keys: Vec<&str> = room.out.lines().collect();
    let found: Vec<String> = stage.redis.run(&["KEYS", keys[0]]).await;
    assert_eq!(found, [keys[2]], "the pattern of the room finds its dispatch: {keys:?}");
    assert_eq!(stage.redis.run::<String>(&["HGET", keys[2], "id"]).await, id);
    assert_eq!(stage.redis.run::<u8>(&["EXISTS", keys[4]]).await, 1, "{keys:?}");

    let why = run(&["explain", "lobby"], &own).await;
    assert_eq!(why.code, Some(0));
    assert!(why.out.contains("creating") && why.out.contains("asked") && why.out.contains(&id), "{why:?}");
    assert!(!why.out.contains("no agent"), "{why:?}");

    let nonsense = run(&["key", "lobby"], &own).await;
    assert_eq!(nonsense.code, Some(1));
    assert!(nonsense.err.contains("write room:NAME"), "{nonsense:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_does_not_exist_is_refused_with_the_nearest() {
    for command in ["serve", "dev", "doctor", "migrate"] {
        let ended = run(&[command], &settings([("GREENROOM_LISTN", "127.0.0.1:0")])).await;
        assert_eq!(ended.code, Some(2), "{command}: {ended:?}");
        assert!(
            ended.err.contains("GREENROOM_LISTN") && ended.err.contains("did you mean GREENROOM_LISTEN?"),
            "{ended:?}"
        );
        assert_eq!(ended.out, "", "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_refuses_to_start_without_what_it_needs() {
    let stage = Stage::start().await;
    let keyless = run(&["serve"], &stage.settings_without("GREENROOM_API_KEY")).await;
    assert_eq!(keyless.code, Some(2), "{keyless:?}");
    assert!(keyless.err.contains("GREENROOM_API_KEY"), "{keyless:?}");

    let own = settings([("REDIS_URL", &stage.redis.url()), ("GREENROOM_API_KEY", "key")]);
    let without_livekit = run(&["serve"], &own).await;
    assert_eq!(without_livekit.code, Some(2), "{without_livekit:?}");
    for name in ["LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"] {
        assert!(without_livekit.err.contains(name), "{without_livekit:?}");
    }

    let mut own = stage.settings_without("REDIS_URL");
    own.push(("REDIS_URL".to_owned(), format!("redis://{}", own_address())));
    let without_redis = run(&["serve"], &own).await;
    assert_eq!(without_redis.code, Some(1), "{without_redis:?}");
    assert!(without_redis.err.contains("greenroom: Redis: "), "{without_redis:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn apikey_makes_lists_and_revokes_keys_and_its_secret_is_seen_once() {
    let stage = Stage::start().await;
    let own = stage.settings_without("GREENROOM_API_KEY");
    let create =
        ["apikey", "create", "--name", "web shop", "--scope", "dispatch", "--scope", "read", "--tenant", "acme"];
    let made = run(&create, &own).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let text = made.out.trim();
    let (id, secret) = text.split_once('.').expect("the key alone on standard output");
    assert!(made.err.contains("not shown again") && made.err.contains(id) && !made.err.contains(secret), "{made:?}");

    let replica = stage.replica().await;
    let ask = async || {
        let request = client().post(replica.url("/v1/dispatches")).bearer_auth(text);
        let request = request.json(&serde_json::json!({"room": "lobby", "agent": AGENT}));
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(ask().await, 201);
    let explained = run(&["explain", "lobby", "--tenant", "acme"], &own).await;
    assert_eq!(explained.code, Some(0), "{explained:?}");
    assert_eq!(run(&["explain", "lobby"], &own).await.code, Some(1));
    let key = run(&["key", "room:lobby", "--tenant", "acme", &format!("apikey:{id}")], &own).await;
    assert!(key.out.contains(":acme:lobby:*") && key.out.contains(&format!(":apikey:{id}")), "{key:?}");

    let listed = run(&["apikey", "list"], &own).await;
    assert!(listed.out.contains(id) && listed.out.contains("dispatch,read") && listed.out.contains("web shop"));
    assert!(listed.out.contains("acme") && listed.out.contains("by command"), "{listed:?}");
    let revoked = run(&["apikey", "revoke", id], &own).await;
    assert!(revoked.code == Some(0) && revoked.out.contains("revoked "), "{revoked:?}");
    assert_eq!(run(&["apikey", "revoke", id], &own).await, revoked, "a second time changes nothing");
    eventually("the key is refused", async || (ask().await == 401).then_some(())).await;
    let unknown = run(&["apikey", "revoke", "grk_1_0198c5d0000070008000000000000000"], &own).await;
    assert!(unknown.code == Some(1) && unknown.err.contains("no such key"), "{unknown:?}");
    assert_eq!(run(&["apikey", "revoke", "web shop"], &own).await.code, Some(1));

    let logged = replica.process.logged();
    assert!(logged.contains("/v1/dispatches"), "the log tells of the requests: {logged}");
    for shown in [&listed.out, &listed.err, &revoked.out, &revoked.err, &logged] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn breaker_lists_shows_holds_and_resets_breakers() {
    let stage = Stage::start().await;
    let _replica = stage.replica().await;
    let own = stage.settings_without("GREENROOM_API_KEY");
    eventually("the replica has made its own", async || {
        let listed = run(&["breaker", "list"], &own).await;
        (listed.out.lines().count() == 6).then_some(())
    })
    .await;
    let held = ["breaker", "force", "livekit.look", "open", "--duration-seconds", "60", "--reason", "maintenance"];
    let held = run(&held, &own).await;
    assert!(
        held.code == Some(0) && held.out.contains("livekit.look  open") && held.out.contains("held open"),
        "{held:?}"
    );
    let shown = run(&["breaker", "get", "livekit.look"], &own).await;
    assert!(shown.out.lines().count() == 2 && shown.out.contains("forced_open"), "{shown:?}");
    let reset = run(&["breaker", "reset", "livekit.look"], &own).await;
    assert!(reset.out.contains("livekit.look  closed"), "{reset:?}");
    let none = run(&["breaker", "get", "none"], &own).await;
    assert!(none.code == Some(1) && none.err.contains("no such breaker"), "{none:?}");
    assert_eq!(run(&["breaker", "force", "livekit.look", "ajar"], &own).await.code, Some(2));
}
