//! Who may call what: each route of the router with every kind of caller that it is not open to.

use std::time::Instant;

use greenroom::access::Scope;
use greenroom::http::{LiveKitDoor, WebhookRefusal, route_access};
use serde_json::{Value, json};

use super::harness::{KEY, Running, Setup, assert_problem, start};
use crate::support::eventually;

/// What each route takes, written down a second time: a row that is changed by mistake is noticed.
const TAKES: &[&str] = &[
    "POST /v1/dispatches: dispatch",
    "GET /v1/dispatches: dispatch,read",
    "DELETE /v1/dispatches: dispatch",
    "GET /v1/dispatches/{id}: dispatch,read",
    "DELETE /v1/dispatches/{id}: dispatch",
    "POST /v1/dispatches/{id}/activity: dispatch",
    "POST /v1/dispatches/{id}/alive: open",
    "POST /v1/dispatches/{id}/ttl: dispatch",
    "POST /v1/connect: dispatch",
    "GET /v1/agents/{agent}: dispatch,read",
    "POST /v1/agents/{agent}/drain: dispatch",
    "POST /v1/agents/{agent}/undrain: dispatch",
    "GET /v1/rooms/{room}/explain: dispatch,read",
    "GET /v1/locks/{name}: dispatch,pool,worker,task,read",
    "POST /v1/locks/{name}/acquire: dispatch,pool,worker,task",
    "POST /v1/locks/{name}/renew: dispatch,pool,worker,task",
    "POST /v1/locks/{name}/release: dispatch,pool,worker,task",
    "GET /v1/pools: pool,read",
    "PUT /v1/pools/{pool}: pool",
    "GET /v1/pools/{pool}: pool,read",
    "DELETE /v1/pools/{pool}: pool",
    "GET /v1/pools/{pool}/plan: pool,read",
    "GET /v1/pools/{pool}/stats: pool,read",
    "POST /v1/pools/{pool}/leases: pool,worker",
    "GET /v1/pools/{pool}/workers: pool,read",
    "POST /api/v1/trigger: dispatch",
    "GET /v1/pools/{pool}/sessions: pool,read",
    "GET /v1/pools/{pool}/sessions/{name}: pool,read",
    "DELETE /v1/pools/{pool}/sessions/{name}: pool",
    "GET /v1/leases/{id}: pool,read",
    "POST /v1/leases/{id}/renew: pool,worker",
    "POST /v1/leases/{id}/release: pool,worker",
    "GET /v1/workers/{id}: pool,read",
    "POST /v1/workers/{id}/cordon: pool",
    "POST /v1/workers/{id}/uncordon: pool",
    "POST /v1/workers/{id}/drain: pool",
    "POST /v1/workers/{id}/recycle: pool",
    "POST /v1/runners/{runner}/sync: worker",
    "GET /v1/policies: dispatch,pool,worker,task,read,admin",
    "POST /v1/errors: dispatch,pool,worker,task",
    "GET /v1/errors: read",
    "GET /v1/errors/rules: read",
    "GET /v1/errors/{id}: read",
    "DELETE /v1/errors/{id}: admin",
    "GET /v1/alerts: read",
    "GET /v1/alerts/{rule}: read",
    "POST /v1/alerts/{rule}/snooze: admin",
    "DELETE /v1/alerts/{rule}/snooze: admin",
    "GET /v1/breakers: worker,task,read",
    "GET /v1/breakers/{breaker}: worker,task,read",
    "POST /v1/breakers/{breaker}/permit: worker,task",
    "POST /v1/breakers/{breaker}/report: worker,task",
    "POST /v1/breakers/{breaker}/force: admin",
    "POST /v1/breakers/{breaker}/reset: admin",
    "POST /v1/keys: admin",
    "GET /v1/keys: admin",
    "GET /v1/keys/{id}: admin",
    "DELETE /v1/keys/{id}: admin",
    "POST /api/livekit/dispatch-agent: dispatch, pages",
    "GET /api/livekit/agent-status: dispatch,read, pages",
    "POST /api/livekit/webhook: open",
    "GET /api/v1/containers/pool/stats: pool,read",
    "GET /healthz: open",
    "GET /readyz: open",
    "GET /metrics: open",
    "GET /openapi.json: open",
    "GET /docs: open",
];

/// A door that lets a page in whose token is `page.<room>`.
fn door() -> LiveKitDoor {
    LiveKitDoor::new(
        "wss://live.example",
        |_, _| Err(WebhookRefusal::BadSignature("forged".into())),
        |request| Ok(format!("page.{}", request.room).into()),
    )
    .with_pages(|token| token.strip_prefix("page.").map(str::to_owned))
}

async fn running() -> Running {
    start(Setup { livekit: Some(door()), ..Setup::default() }).await
}

/// Makes a key; returns its text and its id.
async fn make_key(running: &Running, by: &str, body: Value) -> (String, String) {
    let response = running.bare("POST", "/v1/keys").bearer_auth(by).json(&body).send().await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["cache-control"]),
        (201, &"no-store".parse().expect("an answer"))
    );
    let key: Value = response.json().await.expect("an answer");
    let text = |field: &str| key[field].as_str().expect("an answer").to_owned();
    assert!(text("secret").starts_with(&format!("{}.", text("id"))), "{}", key["id"]);
    (text("secret"), text("id"))
}

async fn key_of(running: &Running, scopes: &[&str], tenant: Option<&str>) -> String {
    make_key(running, KEY, json!({"name": "k", "scopes": scopes, "tenant": tenant})).await.0
}

/// Every route with each of its methods, as the router has them.
async fn routes(running: &Running) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for route in route_access() {
        let refused = running.call("BREW", &path(route.template, "x")).send().await.expect("an answer");
        assert_eq!(refused.status(), 405, "{}", route.template);
        let allow = refused.headers()["allow"].to_str().expect("an answer").to_owned();
        found.extend(allow.split(',').filter(|method| *method != "HEAD").map(|m| (m.to_owned(), route.template)));
    }
    found
}

/// The route for this thing, an id or a room.
fn path(template: &str, thing: &str) -> String {
    let query = match template {
        "/v1/dispatches" => "?room=lobby",
        "/api/livekit/agent-status" => "?roomName=lobby",
        _ => "",
    };
    let path = template.replace("{id}", thing).replace("{room}", thing).replace("{agent}", "guide");
    let path = path.replace("{rule}", "agents_live").replace("{name}", "nightly").replace("{breaker}", "crm");
    let path = path.replace("{pool}", "py").replace("{runner}", "node-1");
    format!("{path}{query}")
}

/// A request that makes sense to the route.
async fn send(running: &Running, method: &str, template: &str, thing: &str, key: Option<&str>) -> (u16, Value) {
    let body = match template {
        "/v1/pools/{pool}" if method == "PUT" => Some(json!({})),
        _ if method != "POST" => None,
        "/v1/pools/{pool}/leases" => Some(json!({"session": "ann"})),
        "/v1/leases/{id}/renew" | "/v1/leases/{id}/release" => Some(json!({"token": 1})),
        "/v1/runners/{runner}/sync" => Some(
            json!({"pool": "py", "boot": "b", "report": 1, "host": "h", "driver": "process", "capacity": 1, "workers": []}),
        ),
        "/v1/dispatches" => Some(json!({"room": "lobby", "agent": "guide"})),
        "/v1/dispatches/{id}/ttl" => Some(json!({"ttl_seconds": 9})),
        "/v1/connect" => Some(json!({"room": "lobby"})),
        "/v1/breakers/{breaker}/permit" => Some(json!({})),
        "/v1/breakers/{breaker}/report" => Some(json!({"outcome": "success", "generation": 1, "permit": "p"})),
        "/v1/breakers/{breaker}/force" => Some(json!({"state": "auto"})),
        "/v1/keys" => Some(json!({"name": "k", "scopes": ["read"]})),
        "/v1/locks/{name}/acquire" => Some(json!({"owner": "ann", "ttl_seconds": 30})),
        "/v1/locks/{name}/renew" => Some(json!({"owner": "ann", "token": 1, "ttl_seconds": 30})),
        "/v1/locks/{name}/release" => Some(json!({"owner": "ann", "token": 1})),
        "/v1/errors" => Some(json!({"operation": "o", "message": "m"})),
        "/v1/alerts/{rule}/snooze" => Some(json!({"seconds": 1})),
        "/api/livekit/dispatch-agent" => Some(json!({"roomName": "lobby"})),
        "/api/v1/trigger" => Some(json!({"client": "default", "agent": "guide", "room": "lobby"})),
        _ => None,
    };
    // A list takes its own filters only.
    let path = if method == "POST" {
        let path = template.replace("{id}", thing).replace("{agent}", "guide").replace("{name}", "nightly");
        let path = path.replace("{rule}", "agents_live").replace("{breaker}", "crm");
        path.replace("{pool}", "py").replace("{runner}", "node-1")
    } else {
        path(template, thing)
    };
    let mut request = running.bare(method, &path);
    request = if let Some(key) = key { request.bearer_auth(key) } else { request };
    request = if let Some(body) = body { request.json(&body) } else { request };
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let mut body: Value = serde_json::from_str(&response.text().await.expect("an answer")).unwrap_or_default();
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
    }
    (status, body)
}

#[tokio::test]
async fn every_route_says_whom_it_takes() {
    let running = running().await;
    let mut told = Vec::new();
    for (method, template) in routes(&running).await {
        let route = route_access().into_iter().find(|route| route.template == template).unwrap();
        let takes = match route.scopes {
            None => "open".to_owned(),
            Some((look, change)) => if method == "GET" { look } else { change }.to_string(),
        };
        told.push(format!("{method} {template}: {takes}{}", if route.is_for_pages { ", pages" } else { "" }));
    }
    let mut expected: Vec<_> = TAKES.iter().map(ToString::to_string).collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn whoever_is_not_known_is_refused_alike_everywhere() {
    let running = running().await;
    let (good, id) = make_key(&running, KEY, json!({"name": "good", "scopes": ["admin"]})).await;
    let (revoked, revoked_id) = make_key(&running, KEY, json!({"name": "revoked", "scopes": ["admin"]})).await;
    let body = json!({"name": "expired", "scopes": ["admin"], "expires_in_seconds": 1});
    let (expired, _) = make_key(&running, KEY, body).await;
    // In the cache of the replica first: the end must be noticed all the same.
    assert_eq!(send(&running, "GET", "/v1/keys", "x", Some(&revoked)).await.0, 200);
    assert_eq!(running.call("DELETE", &format!("/v1/keys/{revoked_id}")).send().await.unwrap().status(), 200);
    eventually("the key expires", async || {
        (send(&running, "GET", "/v1/dispatches", "x", Some(&expired)).await.0 == 401).then_some(())
    })
    .await;

    let (_, secret) = good.split_once('.').unwrap();
    let other_secret = revoked.split_once('.').unwrap().1;
    let unknown = format!("grk_1_0198c5d0000070008000000000000000.{secret}");
    let far = format!("grk_60000_0198c5d0000070008000000000000000.{secret}");
    let (swapped, short) = (format!("{id}.{other_secret}"), format!("{id}.{}", &secret[1..]));
    let no_secret = format!("{id}.");
    let wrong = [
        None,
        Some("wrong"),
        Some("test-key2"),
        Some(&revoked),
        Some(&expired),
        Some(&unknown),
        Some(&far),
        Some(&swapped),
    ];
    let malformed = [Some(short.as_str()), Some(&no_secret), Some(&id), Some("grk_"), Some("."), Some("a.b.c")];
    for (method, template) in routes(&running).await {
        let route = route_access().into_iter().find(|route| route.template == template).unwrap();
        if route.scopes.is_none() {
            continue;
        }
        let refused = send(&running, &method, template, "x", None).await;
        assert_eq!(refused.0, 401, "{method} {template}");
        let page = (!route.is_for_pages).then_some(Some("page.lobby"));
        for key in wrong.into_iter().chain(malformed).chain(page) {
            assert_eq!(send(&running, &method, template, "x", key).await, refused, "{method} {template} {key:?}");
        }
        let let_in = send(&running, &method, template, "x", Some(&good)).await.0;
        assert!(![401, 403].contains(&let_in), "{method} {template}");
    }
}

#[tokio::test]
async fn a_scope_opens_its_own_routes_and_is_told_so_elsewhere() {
    let running = running().await;
    let mut keys = Vec::new();
    for scope in Scope::ALL {
        keys.push((scope, key_of(&running, &[scope.as_str()], None).await));
    }
    for row in TAKES.iter().filter(|row| !row.ends_with(": open")) {
        let (call, takes) = row.split_once(": ").unwrap();
        let (method, template) = call.split_once(' ').unwrap();
        for (scope, key) in &keys {
            let (status, body) = send(&running, method, template, "x", Some(key)).await;
            if *scope == Scope::Admin || takes.split(", ").next().unwrap().split(',').any(|t| t == scope.as_str()) {
                assert!(![401, 403].contains(&status), "{row}, {scope:?}: {status} {body}");
            } else {
                assert_eq!(status, 403, "{row}, {scope:?}: {body}");
                assert!(body["code"] == "forbidden" || body["success"] == false, "{row}, {scope:?}: {body}");
            }
        }
    }
}

#[tokio::test]
async fn another_tenants_thing_answers_as_an_unknown_one() {
    let running = running().await;
    let scopes = ["dispatch", "admin"];
    let acme = key_of(&running, &scopes, Some("acme")).await;
    let (other, other_id) = make_key(&running, KEY, json!({"name": "o", "scopes": scopes, "tenant": "other"})).await;
    let body = json!({"room": "lobby", "agent": "guide"});
    let made = running.bare("POST", "/v1/dispatches").bearer_auth(&acme).json(&body).send().await.unwrap();
    let made: Value = made.json().await.unwrap();
    assert_eq!((&made["tenant"], &made["room"]), (&json!("acme"), &json!("lobby")), "{made}");
    let dispatch = made["id"].as_str().unwrap();

    let unknown = "dsp_1_0198c5d0000070008000000000000000";
    for (method, template) in [("GET", ""), ("DELETE", ""), ("POST", "/activity"), ("POST", "/ttl")]
        .map(|(m, rest)| (m, format!("/v1/dispatches/{{id}}{rest}")))
    {
        for stranger in [other.as_str(), KEY] {
            let theirs = send(&running, method, &template, dispatch, Some(stranger)).await;
            assert_eq!(theirs.0, 404, "{method} {template}");
            assert_eq!(theirs, send(&running, method, &template, unknown, Some(stranger)).await, "{method} {template}");
        }
    }
    // By its room there is nothing to see, either; and the same name is another room.
    for stranger in [other.as_str(), KEY] {
        let seen = send(&running, "GET", "/v1/dispatches", "", Some(stranger)).await;
        assert_eq!(seen, (200, json!({"dispatches": [], "next_cursor": null})));
        assert_eq!(send(&running, "GET", "/v1/rooms/{room}/explain", "lobby", Some(stranger)).await.0, 404);
        assert_eq!(send(&running, "DELETE", "/v1/dispatches", "", Some(stranger)).await.0, 404);
        let status = send(&running, "GET", "/api/livekit/agent-status", "", Some(stranger)).await;
        assert_eq!(status.1, json!({"hasAgent": false}));
    }
    let own = running.bare("POST", "/v1/dispatches").bearer_auth(&other).json(&body).send().await.unwrap();
    assert_ne!(own.json::<Value>().await.unwrap()["id"], dispatch);
    assert_eq!(send(&running, "GET", "/v1/dispatches/{id}", dispatch, Some(&acme)).await.0, 200);

    // Failures: the same one is another's, and unknown to others.
    let report = json!({"operation": "o", "message": "m"});
    let reported = running.bare("POST", "/v1/errors").bearer_auth(&acme).json(&report).send().await.unwrap();
    let reported: Value = reported.json().await.unwrap();
    let unknown = "err_0198c5d0000070008000000000000000";
    for (method, stranger) in [("GET", other.as_str()), ("GET", KEY), ("DELETE", KEY)] {
        let group = reported["id"].as_str().unwrap();
        let theirs = send(&running, method, "/v1/errors/{id}", group, Some(stranger)).await;
        assert_eq!(theirs, send(&running, method, "/v1/errors/{id}", unknown, Some(stranger)).await, "{method}");
        assert_eq!((theirs.0, &theirs.1["code"]), (404, &json!("error_not_found")));
    }
    let seen = send(&running, "GET", "/v1/errors", "", Some(&other)).await;
    assert_eq!(seen, (200, json!({"errors": [], "next_cursor": null})));
    // Alerts concern all: an administrator of one tenant looks, and silences nothing.
    assert_eq!(send(&running, "GET", "/v1/alerts", "", Some(&acme)).await.0, 200);
    for method in ["POST", "DELETE"] {
        let refused = send(&running, method, "/v1/alerts/{rule}/snooze", "", Some(&acme)).await;
        assert_eq!((refused.0, &refused.1["code"]), (403, &json!("forbidden")), "{method}");
    }

    // Keys: an administrator of a tenant sees and makes that tenant's only.
    let unknown = "grk_1_0198c5d0000070008000000000000000";
    for (method, thing) in [("GET", other_id.as_str()), ("DELETE", &other_id)] {
        let theirs = send(&running, method, "/v1/keys/{id}", thing, Some(&acme)).await;
        assert_eq!(theirs, send(&running, method, "/v1/keys/{id}", unknown, Some(&acme)).await, "{method}");
        assert_eq!((theirs.0, &theirs.1["code"]), (404, &json!("key_not_found")));
    }
    assert_eq!(send(&running, "GET", "/v1/keys/{id}", "nonsense", Some(&acme)).await.0, 404);
    assert_eq!(send(&running, "GET", "/v1/keys/{id}", &other_id, Some(KEY)).await.0, 200);
    let listed = running.bare("GET", "/v1/keys").bearer_auth(&acme).send().await.unwrap();
    let listed: Value = listed.json().await.unwrap();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["keys"][0]["tenant"], "acme");
    for tenant in ["other", "default"] {
        let body = json!({"name": "x", "scopes": ["read"], "tenant": tenant});
        let refused = running.bare("POST", "/v1/keys").bearer_auth(&acme).json(&body).send().await.unwrap();
        assert_problem(refused, 403, "forbidden").await;
    }
    let (own, _) = make_key(&running, &acme, json!({"name": "x", "scopes": ["admin"]})).await;
    assert_eq!(send(&running, "GET", "/v1/keys/{id}", &other_id, Some(&own)).await.0, 404, "bound like its maker");
}

#[tokio::test]
async fn keys_are_listed_in_pages_and_their_secrets_are_never_seen_again() {
    let running = running().await;
    let mut secrets = Vec::new();
    for n in 0..7 {
        let (text, _) = make_key(&running, KEY, json!({"name": format!("key {n}"), "scopes": ["read"]})).await;
        secrets.push(text.split_once('.').unwrap().1.to_owned());
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), String::new());
    loop {
        let page = running.call("GET", &format!("/v1/keys?limit=2{cursor}")).send().await.unwrap();
        assert_eq!(page.status(), 200);
        let page: Value = page.json().await.unwrap();
        pages += &page.to_string();
        let keys = page["keys"].as_array().unwrap();
        assert!(keys.len() <= 2);
        for key in keys {
            seen.push(key["name"].as_str().unwrap().to_owned());
            let one = running.call("GET", &format!("/v1/keys/{}", key["id"].as_str().unwrap()));
            assert_eq!(one.send().await.unwrap().json::<Value>().await.unwrap(), *key);
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    seen.sort();
    assert_eq!(seen, (0..7).map(|n| format!("key {n}")).collect::<Vec<_>>());
    assert_problem(running.call("GET", "/v1/keys?cursor=x").send().await.unwrap(), 400, "bad_cursor").await;
    assert_problem(running.call("GET", "/v1/keys?limit=0").send().await.unwrap(), 422, "invalid_request").await;

    // Neither in an answer nor anywhere in Redis; and the hashes are in Redis alone.
    let mut stored = Vec::new();
    for key in running.redis.run::<Vec<String>>(&["KEYS", "*"]).await {
        if key.contains(":apikey:") {
            let hash: String = running.redis.run(&["HGET", &key, "hash"]).await;
            assert!(!pages.contains(&hash), "{pages}");
        }
        stored.extend(running.redis.run::<Vec<u8>>(&["DUMP", &key]).await);
    }
    assert!(stored.windows(5).any(|bytes| bytes == b"key 3"), "the dump shows what there is");
    for secret in &secrets {
        assert!(!pages.contains(secret) && !stored.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()));
    }
}

/// How many scripts were called since the counters were set to nothing.
pub(super) async fn scripts_called(running: &Running) -> u64 {
    let stats: String = running.redis.run(&["INFO", "commandstats"]).await;
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    calls.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn a_reuse_is_one_script_call_whoever_asks_and_wrong_keys_cost_none() {
    let running = running().await;
    let key = key_of(&running, &["dispatch"], Some("acme")).await;
    let body = json!({"room": "lobby", "agent": "guide"});
    let ask = async || running.bare("POST", "/v1/dispatches").bearer_auth(&key).json(&body).send().await.unwrap();
    assert_eq!(ask().await.status(), 201);
    running.redis.run::<()>(&["CONFIG", "RESETSTAT"]).await;
    let (began, asked) = (Instant::now(), 150);
    for _ in 0..asked {
        assert_eq!(ask().await.status(), 200);
    }
    // In each second that this took the key is looked up once, and one question goes on to the whole script.
    let looks_max = 2 * (began.elapsed().as_secs() + 2);
    let called = scripts_called(&running).await;
    assert!((asked..=asked + looks_max).contains(&called), "{called} for {asked}, at most {looks_max} looks");

    running.redis.run::<()>(&["CONFIG", "RESETSTAT"]).await;
    let began = Instant::now();
    let wrong = format!("grk_1_0198c5d0000070008000000000000000.{}", key.split_once('.').unwrap().1);
    for _ in 0..150 {
        for wrong in [wrong.as_str(), "grk_1_x", "nonsense"] {
            assert_eq!(running.bare("GET", "/v1/dispatches").bearer_auth(wrong).send().await.unwrap().status(), 401);
        }
    }
    assert!(scripts_called(&running).await <= began.elapsed().as_secs() + 2);
}

#[tokio::test]
async fn without_redis_a_key_serves_its_second_out_and_then_nobody_is_called_a_stranger() {
    let mut running = running().await;
    let key = key_of(&running, &["dispatch"], None).await;
    // Refused for its body, after the caller was let in; Redis is not asked.
    let ask = async |running: &Running, key: &str| {
        running.bare("POST", "/v1/dispatches").bearer_auth(key).json(&json!({})).send().await.unwrap()
    };
    assert_eq!(ask(&running, &key).await.status(), 422);
    running.redis.kill();
    let away = eventually("the key's second is over", async || {
        let answer = ask(&running, &key).await;
        (answer.status() != 422).then_some(answer)
    })
    .await;
    assert_problem(away, 503, "store_unavailable").await;
    assert_eq!(ask(&running, KEY).await.status(), 422, "the settings' key needs no Redis");
    assert_problem(ask(&running, "nonsense").await, 401, "unauthorized").await;
}

#[tokio::test]
async fn a_page_reaches_its_own_room_and_nothing_else() {
    let running = running().await;
    let dispatch = async |token: &str, body: Value| {
        let request = running.bare("POST", "/api/livekit/dispatch-agent").bearer_auth(token).json(&body);
        request.send().await.unwrap().status().as_u16()
    };
    let status = async |token: &str, query: &str| {
        let path = format!("/api/livekit/agent-status?{query}");
        let answer = running.bare("GET", &path).bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(dispatch("page.acme::lobby", json!({"roomName": "acme::lobby"})).await, 200);
    assert_eq!(status("page.acme::lobby", "roomName=acme::lobby").await.1["hasAgent"], true);
    // The tenant's own server sees the same agent under the room's own name.
    let acme = key_of(&running, &["read"], Some("acme")).await;
    assert_eq!(status(&acme, "roomName=lobby").await.1["hasAgent"], true);
    assert_eq!(status("page.lobby", "roomName=lobby").await, (200, json!({"hasAgent": false})));
    for (token, room) in [("page.lobby", "acme::lobby"), ("page.acme::lobby", "lobby"), ("page.lobby", "other")] {
        assert_eq!(dispatch(token, json!({"roomName": room})).await, 403, "{token} {room}");
        let refused = status(token, &format!("roomName={room}")).await;
        assert_eq!((refused.0, &refused.1["success"]), (403, &json!(false)), "{token} {room}");
    }
    assert_eq!(dispatch("page.lobby", json!({"roomName": "lobby", "agentName": "surgeon"})).await, 403);
    assert_eq!(dispatch("page.default::lobby", json!({"roomName": "default::lobby"})).await, 401);
}

#[tokio::test]
async fn a_room_that_reads_as_another_tenants_is_refused_wherever_one_is_made() {
    let running = running().await;
    for (path, body) in [
        ("/v1/dispatches", json!({"room": "acme::lobby", "agent": "guide"})),
        ("/v1/connect", json!({"room": "acme::lobby"})),
        ("/api/livekit/dispatch-agent", json!({"roomName": "acme::lobby"})),
    ] {
        let refused = running.call("POST", path).json(&body).send().await.unwrap();
        let (status, text) = (refused.status().as_u16(), refused.text().await.unwrap());
        assert_eq!(status, 422, "{path}: {text}");
        assert!(text.contains("'::'") && !text.contains("page.acme"), "{path}: {text}");
    }
    let acme = key_of(&running, &["dispatch"], Some("acme")).await;
    let body = json!({"room": "lobby"});
    let joined = running.bare("POST", "/v1/connect").bearer_auth(&acme).json(&body).send().await.unwrap();
    let joined: Value = joined.json().await.unwrap();
    assert_eq!((&joined["token"], &joined["dispatch"]["room"]), (&json!("page.acme::lobby"), &json!("lobby")));
}

#[tokio::test]
async fn an_idempotency_key_is_its_callers_alone() {
    let running = running().await;
    let (ann, bob) = (key_of(&running, &["dispatch"], None).await, key_of(&running, &["dispatch"], None).await);
    let ask = async |caller: &str, metadata: &str| {
        let body = json!({"room": "lobby", "agent": "guide", "metadata": metadata});
        let request = running.bare("POST", "/v1/dispatches").bearer_auth(caller).header("idempotency-key", "k");
        request.json(&body).send().await.unwrap().status().as_u16()
    };
    assert_eq!((ask(&ann, "a").await, ask(&ann, "a").await), (201, 201), "sent again, answered alike");
    assert_eq!(ask(&ann, "another").await, 422);
    assert_eq!(ask(&bob, "another").await, 200, "what is his is not answered with hers");
}

#[tokio::test]
async fn a_tenant_sees_its_own_breakers_only() {
    let running = running().await;
    let acme = key_of(&running, &["task", "read"], Some("acme")).await;
    let other = key_of(&running, &["admin"], Some("other")).await;
    let (permit, get) = ("/v1/breakers/{breaker}/permit", "/v1/breakers/{breaker}");
    assert_eq!(send(&running, "POST", permit, "x", Some(&acme)).await.0, 200);
    assert_eq!(send(&running, "GET", get, "x", Some(&acme)).await.0, 200);
    for stranger in [other.as_str(), KEY] {
        let (status, body) = send(&running, "GET", get, "x", Some(stranger)).await;
        assert_eq!((status, &body["code"]), (404, &json!("breaker_not_found")));
        let listed = send(&running, "GET", "/v1/breakers", "x", Some(stranger)).await;
        assert_eq!(listed, (200, json!({"breakers": [], "next_cursor": null})));
        assert_eq!(send(&running, "POST", "/v1/breakers/{breaker}/force", "x", Some(stranger)).await.0, 404);
    }
}
