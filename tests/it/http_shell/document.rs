//! The document of the API against the routes that there are.

use std::collections::BTreeSet;

use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use super::harness::{Setup, start};
use crate::support::contract::DOCUMENT;

#[tokio::test]
async fn the_document_is_served_to_anybody() {
    let running = start(Setup::default()).await;
    let answer = running.bare("GET", "/openapi.json").send().await.unwrap();
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
    let document: Value = answer.json().await.unwrap();
    assert_eq!(document, *DOCUMENT);
    assert_eq!((&document["openapi"], &document["info"]["title"]), (&"3.1.0".into(), &"greenroom".into()));
}

#[tokio::test]
async fn the_page_may_load_nothing() {
    let running = start(Setup::default()).await;
    let answer = running.bare("GET", "/docs").send().await.unwrap();
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert!(answer.text().await.unwrap().contains("<!doctype html>"));
}

/// The other way round, that every route is in the document, holds by how it is made; see `router.rs`.
#[tokio::test]
async fn every_route_takes_the_methods_of_the_document_and_no_others() {
    let running = start(Setup::default()).await;
    let paths = DOCUMENT["paths"].as_object().unwrap();
    assert!(paths.len() >= 15, "{paths:?}");
    for (path, item) in paths {
        let mut documented: BTreeSet<_> = item.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
        if documented.contains("GET") {
            documented.insert("HEAD".to_owned());
        }
        let answer = running.call("BREW", &path.replace(['{', '}'], "")).send().await.unwrap();
        let allowed =
            answer.headers()["allow"].to_str().unwrap().split(',').map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!((answer.status().as_u16(), allowed), (405, documented), "{path}");
    }
}

#[test]
fn every_operation_says_what_it_is_and_what_it_refuses() {
    let operations = DOCUMENT["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap());
    let mut ids = BTreeSet::new();
    for (_, operation) in operations {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} twice");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{id}");
        assert!(operation["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{id}");
        let codes = operation["x-problem-codes"].as_array().unwrap();
        assert!(codes.contains(&"internal".into()) && codes.contains(&"timeout".into()), "{id}: {codes:?}");
        for parameter in operation["parameters"].as_array().unwrap().iter().filter(|it| it["$ref"].is_null()) {
            assert!(parameter["description"].is_string() && parameter["schema"].is_object(), "{id}: {parameter}");
        }
    }
}
