//! What runners tell over REST, what is answered to those who come late; and schedules of pools.

use serde_json::{Value, json};

use super::harness::{KEY, Running, Setup, assert_problem, start};

fn report(number: u64, more: &Value) -> Value {
    let mut body = json!({"pool": "py", "boot": "a", "report": number, "host": "h", "driver": "process",
        "capacity": 0, "workers": []});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

async fn sync(running: &Running, body: &Value) -> reqwest::Response {
    running.bare("POST", "/v1/runners/one/sync").bearer_auth(KEY).json(body).send().await.expect("an answer")
}

#[tokio::test]
async fn a_report_has_its_number_and_the_start_that_it_is_of() {
    let running = start(Setup::default()).await;
    for field in ["report", "boot"] {
        let mut body = report(1, &json!({}));
        body.as_object_mut().expect("an object").remove(field);
        assert_problem(sync(&running, &body).await, 422, "invalid_request").await;
    }
    let answer: Value = sync(&running, &report(1, &json!({}))).await.json().await.expect("an answer");
    assert_eq!(answer["health_seconds"], 30, "{answer}");
}

#[tokio::test]
async fn a_long_poll_ends_where_something_newer_was_told() {
    let running = start(Setup::default()).await;
    let first: Value = sync(&running, &report(4, &json!({}))).await.json().await.expect("an answer");
    let known = json!({"revision": first["revision"], "store": first["store"], "wait_seconds": 30});
    let (poll, newer) = (report(5, &known), report(6, &json!({})));
    // Without the newer one it would be held back for a heartbeat, and then be well.
    let newer = async {
        loop {
            let heard = running.redis.run::<Vec<String>>(&["KEYS", "*:runner:default:py:one"]).await;
            if running.redis.run::<Option<String>>(&["HGET", &heard[0], "report"]).await.as_deref() == Some("5") {
                return sync(&running, &newer).await;
            }
            tokio::task::yield_now().await;
        }
    };
    let (polled, newer) = tokio::join!(sync(&running, &poll), newer);
    assert_eq!(newer.status(), 200);
    let problem = assert_problem(polled, 409, "stale_report").await;
    assert_eq!(problem["retryable"], true);
    assert_problem(sync(&running, &report(5, &json!({}))).await, 409, "stale_report").await;
}

#[tokio::test]
async fn what_adds_to_an_unknown_report_is_refused() {
    let running = start(Setup::default()).await;
    let first: Value = sync(&running, &report(4, &json!({}))).await.json().await.expect("an answer");
    assert_eq!(first["complete"], true, "{first}");
    let known = json!({"revision": first["revision"], "store": first["store"], "since": 4});
    let next: Value = sync(&running, &report(5, &known)).await.json().await.expect("an answer");
    assert_eq!((&next["complete"], &next["revision"]), (&json!(false), &first["revision"]), "{next}");
    let problem =
        assert_problem(sync(&running, &report(9, &json!({"since": 8}))).await, 409, "incomplete_report").await;
    assert_eq!(problem["retryable"], true);
    let other = report(6, &json!({"since": 5, "boot": "b"}));
    assert_problem(sync(&running, &other).await, 409, "incomplete_report").await;
    assert_problem(sync(&running, &report(4, &json!({"since": 4}))).await, 409, "stale_report").await;
}

async fn define(running: &Running, schedule: Value) -> reqwest::Response {
    let body = json!({"spare": 1, "max": 9, "schedule": schedule});
    running.bare("PUT", "/v1/pools/py").bearer_auth(KEY).json(&body).send().await.expect("an answer")
}

#[tokio::test]
async fn a_schedule_is_shown_as_it_was_given_and_seen_in_the_plan() {
    let running = start(Setup::default()).await;
    let always =
        json!({"days": [], "from": "00:00", "to": "24:00", "time_zone": "Europe/Berlin", "spare": 5, "min": 0});
    let never =
        json!({"days": ["mon", "sun"], "from": "22:30", "to": "06:00", "time_zone": "UTC", "spare": 0, "min": 0});
    let schedule = json!([always, never]);
    assert_eq!(define(&running, schedule.clone()).await.status(), 201);
    let shown: Value = running.call("GET", "/v1/pools/py").send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["settings"]["schedule"], schedule);
    let plan: Value = running.call("GET", "/v1/pools/py/plan").send().await.unwrap().json().await.unwrap();
    assert_eq!((&plan["wanted"], &plan["reason"]), (&json!(5), &json!("scheduled")), "{plan}");
}

#[tokio::test]
async fn a_schedule_that_makes_no_sense_is_refused_with_what_is_wrong() {
    let running = start(Setup::default()).await;
    let good = json!({"from": "08:00", "to": "18:00", "time_zone": "UTC", "spare": 2});
    for (field, value, why) in [
        ("time_zone", json!("Europe/Atlantis"), "IANA"),
        ("time_zone", json!(""), "IANA"),
        ("from", json!("8:00"), "08:45"),
        ("to", json!("24:01"), "08:45"),
        ("to", json!("08:00"), "must differ"),
        ("from", json!("24:00"), "before 24:00"),
        ("days", json!(["monday"]), "must be one of mon"),
        ("days", json!(["mon", "mon", "mon", "mon", "mon", "mon", "mon", "mon"]), "days"),
        ("spare", json!(1_001), "spare"),
        ("min", json!(10_001), "min"),
        ("until", json!(1), "unknown field"),
    ] {
        let mut window = good.clone();
        window[field] = value;
        let problem = assert_problem(define(&running, json!([window])).await, 422, "invalid_request").await;
        assert!(problem["detail"].as_str().unwrap().contains(why), "{field}: {problem}");
    }
    let window = json!({"from": "08:00", "to": "18:00", "time_zone": "UTC"});
    assert_eq!(define(&running, json!(vec![window.clone(); 16])).await.status(), 201);
    let problem = assert_problem(define(&running, json!(vec![window; 17])).await, 422, "invalid_request").await;
    assert!(problem["detail"].as_str().unwrap().contains("16 windows"), "{problem}");
}
