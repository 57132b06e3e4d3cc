//! Secrets that were put in everywhere are found nowhere: logs, metrics, refusals, events, lists, Redis.

use serde_json::{Value, json};

use crate::standin::{Fault, Method};
use crate::support::eventually;
use crate::support::process::{Replica, run};
use crate::support::stage::{AGENT, Stage, client};

const KEY: &str = "canary-of-the-api-key";
const REDIS_PASSWORD: &str = "canary-of-redis";
const METADATA: &str = "{\"canary\":\"canary-of-metadata\"}";
const OF_AGENT: &str = "gat_1795253484627_canaryoftheagent4567890123456789012345678901";
const JWT: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJjYW5hcnkiOiJ5ZXMifQ.canaryofjwt4567890123456789012345678901234";

/// All that has come out, with where.
#[derive(Default)]
struct Found(Vec<(String, String)>);

impl Found {
    fn add(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.0.push((place.into(), text.into()));
    }

    fn assert_clean(&self, secret: &str) {
        for (place, text) in &self.0 {
            // What is left of a token that was cut off is a find as well.
            for word in ["canary-of", "canaryof", "eyJ", "gat_", secret] {
                let line = text.lines().find(|line| line.contains(word)).unwrap_or_default();
                let line: String = line.chars().take(600).collect();
                assert!(!text.contains(word), "{word} in {place}: {line}");
            }
            assert!(!text.contains('\u{1b}'), "an escape in {place}");
        }
    }
}

/// Sends every request with canaries in it that a caller can send, and keeps the answers that tell nothing
/// which was meant for the caller alone.
async fn sing(replica: &Replica, found: &mut Found, room: &str) {
    let client = client();
    let call = |method: &str, path: &str| {
        let request = client.request(method.parse().expect("a method"), replica.url(path));
        request.bearer_auth(KEY).header("x-canary", "canary-of-header").header("cookie", "canary-of-cookie=1")
    };
    let create = json!({"room": room, "agent": AGENT, "metadata": METADATA});
    let once = &format!("canary-of-idempotency-{room}");
    let requests = [
        call("POST", "/v1/dispatches").header("idempotency-key", once).json(&create),
        call("POST", "/v1/dispatches").json(&json!({"room": room, "agent": AGENT, "metadata": METADATA, "x": 1})),
        call("POST", "/v1/dispatches").json(&json!({"room": format!("{room}-2"), "agent": AGENT, "ttl_seconds": JWT})),
        call("POST", "/v1/dispatches").header("content-type", "application/json").body(format!("{{{METADATA}")),
        call("POST", "/api/livekit/dispatch-agent").json(&json!({"roomName": room, "timezone": METADATA})),
        call("GET", "/v1/dispatches?token=canary-of-query"),
        call("GET", "/v1/dispatches?cursor=canary-of-query"),
        call("GET", "/v1/dispatches?state=canary-of-query"),
        call("GET", &format!("/v1/dispatches/{JWT}")),
        call("GET", "/canary-of-path?canary-of-query"),
        call("GET", "/v1/dispatches").header("x-request-id", "canary-of {request} id"),
        call("GET", "/v1/dispatches").header("authorization", &format!("Bearer {JWT}")),
        client.get(replica.url("/v1/dispatches")).bearer_auth("canary-of-a-wrong-key"),
        client.post(replica.url("/api/livekit/webhook")).header("authorization", JWT).body("canary-of-webhook"),
        client
            .post(replica.url("/v1/dispatches/dsp_1_0198c5d0000070008000000000000000/alive"))
            .bearer_auth(OF_AGENT)
            .json(&json!({"state": "open"})),
        call("POST", "/v1/errors").json(&json!({
            "operation": JWT, "service": OF_AGENT, "code": JWT,
            "message": format!("{JWT} {OF_AGENT} Bearer canary-of-bearer password=canary-of-word redis://a:canary-of-url@b"),
            "stack": format!("at a\n  {JWT}\n\u{1b}[31m token: canary-of-stack\n  {OF_AGENT}"),
            "context": {"api_key": "canary-of-context", "header": format!("Bearer {JWT}"), "agent": OF_AGENT},
        })),
        call("GET", "/v1/errors"),
        call("GET", "/v1/errors/rules"),
        call("GET", "/v1/dispatches"),
        call("GET", &format!("/v1/rooms/{room}/explain")),
        call("GET", &format!("/api/livekit/agent-status?roomName={room}")),
        call("GET", "/metrics"),
    ];
    let groups = async || {
        let listed = call("GET", "/v1/errors").send().await.expect("an answer").json::<Value>().await.expect("JSON");
        listed["errors"].as_array().expect("groups").clone()
    };
    for (n, request) in requests.into_iter().enumerate() {
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status(), format!("{:?}", answer.headers()));
        found.add(format!("answer {n} ({status})"), format!("{headers}\n{}", answer.text().await.expect("a text")));
    }
    let groups = groups().await;
    assert!(groups.iter().any(|group| group["operation"] == "<token>"), "{groups:?}");
    for group in groups {
        let path = format!("/v1/errors/{}", group["id"].as_str().expect("an id"));
        let detailed = call("GET", &path).send().await.expect("an answer").text().await.expect("a text");
        assert!(detailed.contains("\"samples\":[{"), "{detailed}");
        found.add(path, detailed);
    }
    let page = call("POST", "/v1/connect")
        .header("idempotency-key", once)
        .json(&json!({"room": room, "agent": AGENT, "metadata": METADATA}));
    let mut page: Value = page.send().await.expect("an answer").json().await.expect("JSON");
    // This one token is what the page asked for; it is found nowhere else.
    if room.starts_with("well") {
        assert!(page["token"].take().as_str().is_some_and(|token| token.starts_with("eyJ")), "{page}");
    }
    found.add("connect", page.to_string());
}

/// All that Redis holds, but for the one key that is there to hold the metadata.
async fn look_into_redis(stage: &Stage, found: &mut Found) {
    for key in stage.redis.run::<Vec<String>>(&["KEYS", "*"]).await {
        if key.contains(":metadata:") {
            // It may have ended meanwhile.
            let text: Option<String> = stage.redis.run(&["GET", &key]).await;
            assert!(text.is_none_or(|text| text.contains("canary-of-metadata")), "{key}");
            continue;
        }
        let kind: String = stage.redis.run(&["TYPE", &key]).await;
        let words: &[&str] = match kind.as_str() {
            "hash" => &["HGETALL", &key],
            "zset" => &["ZRANGE", &key, "0", "-1"],
            "stream" => &["XRANGE", &key, "-", "+"],
            _ => &["GET", &key],
        };
        let value: redis::Value = stage.redis.run(words).await;
        found.add(format!("Redis: {key}"), as_text(&value));
    }
}

fn as_text(value: &redis::Value) -> String {
    match value {
        redis::Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        redis::Value::Array(values) => values.iter().map(as_text).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_are_put_in_everywhere_are_found_nowhere() {
    let mut stage = Stage::start().await;
    stage.set("GREENROOM_API_KEY", KEY);
    stage.set("REDIS_URL", &format!("redis://default:{REDIS_PASSWORD}@127.0.0.1:{}/0", stage.redis.servers()[0].port));
    stage.set("GREENROOM_LOG_FILTER", "info,greenroom=trace");
    // Every line is looked at.
    stage.set("ENABLE_LOG_AGGREGATION", "false");
    stage.set("LOG_RATE_LIMIT", "100000");
    stage.set("GREENROOM_DISPATCH_CREATION_BACKOFF_MS", "50");
    let mut found = Found::default();
    for format in ["text", "json"] {
        stage.set("GREENROOM_LOG_FORMAT", format);
        let mut replica = stage.replica().await;
        sing(&replica, &mut found, &format!("well-{format}")).await;
        // Now LiveKit quotes every request, with its token and what is meant for the agent.
        for status in [401, 500] {
            stage.livekit.faults().set(Method::CreateDispatch, Fault::echo(status));
            sing(&replica, &mut found, &format!("refused-{format}-{status}")).await;
        }
        stage.livekit.faults().clear_all();
        look_into_redis(&stage, &mut found).await;
        for command in [&["doctor"][..], &["explain", &format!("refused-{format}-401")], &["key", "room:x"]] {
            let ended = run(command, &stage.settings).await;
            found.add(format!("{command:?}"), format!("{}{}", ended.out, ended.err));
        }
        replica.process.signal("TERM");
        assert!(replica.process.ended().await.success());
    }
    let logs = eventually("logs", async || {
        let files = std::fs::read_dir(stage.dir.path()).expect("a directory").flatten();
        let logs: Vec<_> = files.filter(|file| file.path().extension().is_some_and(|end| end == "err")).collect();
        (logs.len() == 2).then_some(logs)
    })
    .await;
    for log in logs {
        let text = std::fs::read_to_string(log.path()).expect("a log");
        // The test looks where something is: LiveKit's words are there, and the token's place is marked.
        assert!(text.contains("dispatch creation failed at the provider") && text.contains("<token>"), "{text}");
        assert!(text.contains("answered") && text.contains("refused"), "{text}");
        found.add(format!("{:?}", log.file_name()), text);
    }
    let described = found.0.iter().filter(|(_, text)| text.contains("rejected unauthenticated")).count();
    assert!(described > 0, "the refusal stands in Redis");
    found.assert_clean(stage.livekit.api_secret());
}
