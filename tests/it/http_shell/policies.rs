//! The policies as workers and clients get them.

use serde_json::Value;

use super::harness::{KEY, Setup, start};

#[tokio::test]
async fn policies_are_told_to_every_good_key_and_kept_by_their_tag() {
    let running = start(Setup::default()).await;
    let body = serde_json::json!({"name": "w", "scopes": ["worker"], "tenant": "acme"});
    let key: Value = running.call("POST", "/v1/keys").json(&body).send().await.unwrap().json().await.unwrap();
    let ask = async |key: &str, known: &str| {
        let request = running.bare("GET", "/v1/policies").bearer_auth(key).header("if-none-match", known);
        request.send().await.unwrap()
    };
    let told = ask(key["secret"].as_str().unwrap(), "\"another\"").await;
    assert_eq!(
        (told.status().as_u16(), &told.headers()["cache-control"]),
        (200, &"private, max-age=60".parse().unwrap())
    );
    let tag = told.headers()["etag"].to_str().unwrap().to_owned();
    let told: Value = told.json().await.unwrap();
    let names: Vec<_> = told["operations"].as_array().unwrap().iter().map(|it| it["operation"].as_str()).collect();
    assert!(names.contains(&Some("language_model")) && names.contains(&Some("telemetry")), "{names:?}");
    for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let same = ask(KEY, &known).await;
        assert_eq!((same.status().as_u16(), same.headers()["etag"].to_str().unwrap()), (304, tag.as_str()), "{known}");
        assert_eq!(same.text().await.unwrap(), "");
    }
}
