//! Holds answers against the OpenAPI document: whatever a test asks, every answer that it gets has to
//! be one that the document promises.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use reqwest::Method;
use reqwest::header::{ACCESS_CONTROL_ALLOW_METHODS, ALLOW, CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

/// The document as the service gives it out.
pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(greenroom::http::document()).expect("a document"));

/// Headers that belong to HTTP itself.
const OF_HTTP: [&str; 6] = ["connection", "content-length", "content-type", "date", "transfer-encoding", "vary"];

/// An answer, with what was asked.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// What the document does not promise, or promises otherwise.
pub(crate) fn breach(exchange: &Exchange<'_>) -> Option<String> {
    let Exchange { method, path, status, .. } = exchange;
    if **method == Method::OPTIONS && exchange.headers.contains_key(ACCESS_CONTROL_ALLOW_METHODS) {
        // What browsers ask before a page of another origin calls is no operation.
        return None;
    }
    let described = promised(exchange).and_then(|answer| {
        headers(exchange, &answer)?;
        body(exchange, &answer)
    });
    described.err().map(|error| {
        let text = String::from_utf8_lossy(exchange.body);
        format!("{method} {path} → {status}: {error}\n{:?}\n{text}", exchange.headers)
    })
}

/// The documented methods of a documented path that the path fits, with their operations.
fn methods(path: &str) -> Option<(&'static str, &'static serde_json::Map<String, Value>)> {
    // An empty part is a part, but for the last one.
    let fits = |template: &str| {
        let (template, mut path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template.zip(path.clone()).all(|(t, p)| t == p || t.starts_with('{'))
            && path.next_back() != Some("")
    };
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let (template, item) = paths.iter().find(|(template, _)| fits(template))?;
    Some((template, item.as_object().expect("operations")))
}

/// The answer as the document has it.
fn promised(exchange: &Exchange<'_>) -> Result<Value, String> {
    let method = if exchange.method == Method::HEAD { "get" } else { &exchange.method.as_str().to_lowercase() };
    let Some((template, operations)) = methods(exchange.path) else {
        return of_no_operation(exchange, &[400, 404]);
    };
    let Some(operation) = operations.get(method) else {
        if exchange.status == 405 {
            let mut allowed: BTreeSet<_> = operations.keys().map(|method| method.to_uppercase()).collect();
            if allowed.contains("GET") {
                allowed.insert("HEAD".to_owned());
            }
            let told = exchange.headers.get(ALLOW).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let told: BTreeSet<_> = told.split(',').map(|method| method.trim().to_owned()).collect();
            if told != allowed {
                return Err(format!("Allow has {told:?}, the document {allowed:?}"));
            }
        }
        return of_no_operation(exchange, &[400, 401, 405]);
    };
    let answer = operation["responses"].get(exchange.status.to_string());
    answer.cloned().ok_or_else(|| format!("no such status at {template}"))
}

/// What may be answered where no operation is.
fn of_no_operation(exchange: &Exchange<'_>, statuses: &[u16]) -> Result<Value, String> {
    if !statuses.contains(&exchange.status) {
        return Err("the document has no such operation".to_owned());
    }
    let header = |name: &str| json!({"$ref": format!("#/components/headers/{name}")});
    let schema = |name: &str| json!({"schema": {"$ref": format!("#/components/schemas/{name}")}});
    Ok(json!({
        "headers": {
            "Allow": {"schema": {"type": "string"}},
            "X-Request-Id": header("X-Request-Id"),
            "Cache-Control": header("Cache-Control"),
            "X-Content-Type-Options": header("X-Content-Type-Options"),
            "WWW-Authenticate": header("WWW-Authenticate"),
        },
        "content": {"application/problem+json": schema("Problem"), "application/json": schema("Failure")},
    }))
}

fn headers(exchange: &Exchange<'_>, answer: &Value) -> Result<(), String> {
    let documented: HashMap<_, _> =
        answer["headers"].as_object().into_iter().flatten().map(|(name, it)| (name.to_lowercase(), it)).collect();
    if !exchange.headers.contains_key("x-request-id") {
        return Err("there is no X-Request-Id".to_owned());
    }
    if exchange.status == 503 && documented.contains_key("retry-after") && is_problem(exchange) {
        exchange.headers.get("retry-after").ok_or("there is no Retry-After")?;
    }
    for (name, value) in exchange.headers {
        let Some(header) = documented.get(name.as_str()) else {
            if OF_HTTP.contains(&name.as_str()) || name.as_str().starts_with("access-control-") {
                continue;
            }
            return Err(format!("the header {name} is not documented"));
        };
        let schema = &resolved(header)["schema"];
        let text = value.to_str().map_err(|_| format!("{name} is no text"))?;
        let number = text.parse::<i64>().ok().filter(|_| schema["type"] == "integer");
        let value = number.map_or_else(|| json!(text), Value::from);
        fits(schema, &value).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

fn is_problem(exchange: &Exchange<'_>) -> bool {
    content_type(exchange) == "application/problem+json"
}

fn content_type(exchange: &Exchange<'_>) -> String {
    let value = exchange.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_lowercase()
}

fn body(exchange: &Exchange<'_>, answer: &Value) -> Result<(), String> {
    let Some(contents) = answer["content"].as_object() else {
        let empty = exchange.body.is_empty();
        return if empty { Ok(()) } else { Err("the document has no body here".to_owned()) };
    };
    let kind = content_type(exchange);
    let content = contents.get(&kind).ok_or_else(|| format!("the content type {kind:?} is not documented"))?;
    if exchange.method == Method::HEAD || !kind.ends_with("json") {
        return Ok(());
    }
    let value: Value = serde_json::from_slice(exchange.body).map_err(|error| format!("no JSON: {error}"))?;
    fits(&content["schema"], &value)?;
    // The document is not described by itself.
    if exchange.path == "/openapi.json" {
        return Ok(());
    }
    match undocumented(&content["schema"], &value) {
        Some(member) => Err(format!("the member {member} is not documented")),
        None => Ok(()),
    }
}

/// What a reference names, or the value itself.
fn resolved(value: &Value) -> &Value {
    let reference = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    reference.map_or(value, |pointer| DOCUMENT.pointer(pointer).expect("a reference that leads somewhere"))
}

/// The first member that no part of the schema names. Callers may meet new members one day; these tests may not.
fn undocumented(schema: &Value, value: &Value) -> Option<String> {
    match value {
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            let Some(schema) = member(schema, name) else { return Some(name.clone()) };
            undocumented(schema, value).map(|inner| format!("{name}.{inner}"))
        }),
        Value::Array(items) => items.iter().find_map(|item| undocumented(&resolved(schema)["items"], item)),
        _ => None,
    }
}

fn member<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let schema = resolved(schema);
    let parts = ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|kind| schema[kind].as_array()).flatten();
    let own = schema["properties"].get(name);
    let free = Some(&schema["additionalProperties"]).filter(|free| free.is_object());
    own.or(free).or_else(|| parts.into_iter().find_map(|part| member(part, name)))
}

/// Whether the value is as the schema says.
fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let validator = known.entry(schema.to_string()).or_insert_with(|| {
        let whole = json!({"allOf": [schema], "components": {"schemas": DOCUMENT["components"]["schemas"]}});
        Arc::new(jsonschema::options().should_validate_formats(true).build(&whole).expect("a schema"))
    });
    let validator = Arc::clone(validator);
    drop(known);
    let errors: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{error} at {}", error.instance_path())).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
}

/// Breaches that were met where no test would notice a panic.
static ASIDE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Remembers a breach that [`assert_none_aside`] then fails for.
pub(crate) fn set_aside(breach: Option<String>) {
    ASIDE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(breach);
}

/// Fails the test for breaches in answers that it did not ask for itself: to LiveKit's webhooks and agents' reports.
#[track_caller]
pub(crate) fn assert_none_aside() {
    let aside = ASIDE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    assert!(aside.is_empty(), "{}", aside.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(method: &Method, path: &str, status: u16, headers: &[(&str, &str)], body: &Value) -> Option<String> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let mut all = HeaderMap::from_iter([("x-request-id".parse().unwrap(), "r-1".parse().unwrap())]);
        for (name, value) in headers {
            all.insert(name.parse::<reqwest::header::HeaderName>().unwrap(), value.parse().unwrap());
        }
        breach(&Exchange { method, path, status, headers: &all, body: &body })
    }

    const JSON: (&str, &str) = ("content-type", "application/json");

    fn problem(code: &str, status: u16) -> Value {
        json!({
            "type": "urn:x", "title": "t", "status": status, "detail": "d", "code": code, "request_id": "r-1",
            "retryable": false, "user_message": "u", "suggestions": [],
        })
    }

    #[test]
    fn an_answer_that_was_not_promised_is_a_breach() {
        let get = |path, status, headers: &[_], body| told(&Method::GET, path, status, headers, &body);
        let problem_json = ("content-type", "application/problem+json");
        assert_eq!(get("/healthz", 200, &[JSON], json!({"status": "ok"})), None);
        assert_eq!(get("/nothing", 404, &[problem_json], problem("route_not_found", 404)), None);
        assert_eq!(get("/v1/dispatches", 400, &[problem_json], problem("bad_cursor", 400)), None);
        assert_eq!(
            told(&Method::PUT, "/healthz", 405, &[problem_json, ("allow", "GET, HEAD")], &problem("x", 405)),
            None
        );
        for (wrong, why) in [
            (get("/healthz", 204, &[], json!(null)), "no such status"),
            (get("/healthz", 200, &[], json!({"status": "ok"})), "content type"),
            (get("/healthz", 200, &[JSON], json!({"status": 1})), "not of type"),
            (get("/healthz", 200, &[JSON], json!({})), "required"),
            (get("/healthz", 200, &[JSON], json!({"status": "ok", "x": 1})), "member x"),
            (get("/healthz", 200, &[JSON, ("x-new", "1")], json!({"status": "ok"})), "header x-new"),
            (get("/healthz", 200, &[JSON, ("x-request-id", "a b")], json!({"status": "ok"})), "x-request-id"),
            (get("/nothing", 200, &[JSON], json!({})), "no such operation"),
            (get("/v1/dispatches", 400, &[problem_json], problem("unheard_of", 400)), "unheard_of"),
            (told(&Method::PUT, "/healthz", 405, &[problem_json, ("allow", "GET")], &problem("x", 405)), "Allow"),
            (told(&Method::POST, "/api/livekit/webhook", 200, &[JSON], &json!({})), "no body"),
        ] {
            assert!(wrong.as_ref().is_some_and(|wrong| wrong.contains(why)), "{why}: {wrong:?}");
        }
    }
}
