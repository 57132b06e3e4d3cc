//! The document as a page: one file of HTML that loads nothing and runs nothing.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::document;

/// A page, and what a browser may do with it.
pub(in crate::http) struct Page {
    pub(in crate::http) html: String,
    /// The value of `Content-Security-Policy`.
    pub(in crate::http) policy: String,
}

const STYLE: &str = include_str!("page.css");

/// The page of this API.
pub(in crate::http) fn page() -> &'static Page {
    static PAGE: LazyLock<Page> = LazyLock::new(|| {
        let api = serde_json::from_str(document()).unwrap_or_default();
        let style = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Page { html: render(&api), policy }
    });
    &PAGE
}

fn render(api: &Value) -> String {
    let title = format!("{} {}", text(&api["info"]["title"]), text(&api["info"]["version"]));
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
         <header><h1>{title}</h1><p>{}</p><p>The same for machines: <a href=\"openapi.json\">openapi.json</a></p></header>\n",
        text(&api["info"]["description"])
    );
    let tags = api["tags"].as_array().into_iter().flatten();
    let mut contents = String::from("<nav>");
    let mut sections = String::new();
    for tag in tags {
        let name = &tag["name"];
        let _ = write!(contents, "<h2>{}</h2><ul>", text(name));
        let _ = writeln!(sections, "<h2>{}</h2><p>{}</p>", text(name), prose(&tag["description"]));
        for (path, method, operation) in operations(api).filter(|(_, _, it)| it["tags"][0] == *name) {
            let id = text(&operation["operationId"]);
            let _ = write!(contents, "<li><a href=\"#{id}\"><b>{method}</b> {}</a></li>", escaped(path));
            section(&mut sections, path, &method, operation);
        }
        contents.push_str("</ul>");
    }
    let schemas = object(&api["components"]["schemas"]);
    contents.push_str("<h2>schemas</h2><ul>");
    sections.push_str("<h2>schemas</h2>\n");
    for (name, schema) in schemas {
        let name = escaped(name);
        let _ = write!(contents, "<li><a href=\"#schema-{name}\">{name}</a></li>");
        let _ = writeln!(sections, "<section id=\"schema-{name}\"><h3>{name}</h3>{}</section>", of_schema(schema));
    }
    let _ = write!(html, "{contents}</ul></nav>\n<main>{sections}</main></body></html>\n");
    html
}

fn operations(api: &Value) -> impl Iterator<Item = (&str, String, &Value)> {
    object(&api["paths"]).flat_map(|(path, item)| {
        object(item).map(move |(method, operation)| (path.as_str(), method.to_uppercase(), operation))
    })
}

fn section(html: &mut String, path: &str, method: &str, operation: &Value) {
    let id = text(&operation["operationId"]);
    let _ = writeln!(
        html,
        "<section id=\"{id}\"><h3><b>{method}</b> <code>{}</code></h3><p><strong>{}.</strong> {}</p>",
        escaped(path),
        text(&operation["summary"]),
        prose(&operation["description"])
    );
    for need in operation["security"].as_array().into_iter().flatten() {
        let names: Vec<_> = object(need).map(|(name, _)| escaped(name)).collect();
        let _ = write!(html, "<p>Needs <code>{}</code>.</p>", names.join("</code>, <code>"));
    }
    let parameters = operation["parameters"].as_array().into_iter().flatten().filter(|it| it["name"].is_string());
    let rows: String = parameters.map(parameter).collect();
    if !rows.is_empty() {
        let _ = write!(html, "<h4>Parameters</h4><table>{rows}</table>");
    }
    for (content_type, content) in object(&operation["requestBody"]["content"]) {
        let _ =
            write!(html, "<h4>Body</h4><p><code>{}</code></p>{}", escaped(content_type), of_schema(&content["schema"]));
    }
    html.push_str("<h4>Answers</h4><table>");
    for (status, answer) in object(&operation["responses"]) {
        let kinds: Vec<_> = object(&answer["content"])
            .map(|(kind, content)| format!("{}{}", escaped(kind), link(&content["schema"])))
            .collect();
        let _ = write!(
            html,
            "<tr><th>{}</th><td>{}</td><td>{}</td></tr>",
            escaped(status),
            prose(&answer["description"]),
            kinds.join("<br>")
        );
    }
    html.push_str("</table></section>\n");
}

fn parameter(parameter: &Value) -> String {
    let need = if parameter["required"] == true { "required" } else { "optional" };
    format!(
        "<tr><th><code>{}</code></th><td>{}, {need}</td><td>{}{}</td></tr>",
        text(&parameter["name"]),
        text(&parameter["in"]),
        prose(&parameter["description"]),
        of_schema(&parameter["schema"])
    )
}

/// A link to the schema, where it has a name.
fn link(schema: &Value) -> String {
    let named = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    let Some((_, name)) = named.and_then(|reference| reference.rsplit_once('/')) else { return String::new() };
    let name = escaped(name);
    format!(" <a href=\"#schema-{name}\">{name}</a>")
}

/// A schema: its name, or its limits and members.
fn of_schema(schema: &Value) -> String {
    if schema["$ref"].is_string() {
        return link(schema);
    }
    let mut html = String::new();
    if schema["description"].is_string() {
        let _ = write!(html, "<p>{}</p>", prose(&schema["description"]));
    }
    for kind in ["allOf", "oneOf", "anyOf"] {
        let items: Vec<_> = schema[kind].as_array().into_iter().flatten().map(of_schema).collect();
        let between = if kind == "allOf" { " and " } else { " or " };
        html.push_str(&items.join(between));
    }
    let mut rows = String::new();
    for (name, property) in object(&schema["properties"]) {
        let required = schema["required"].as_array().is_some_and(|names| names.contains(&name.as_str().into()));
        let need = if required { "required" } else { "optional" };
        let name = escaped(name);
        let _ = write!(rows, "<tr><th><code>{name}</code></th><td>{need}</td><td>{}</td></tr>", of_schema(property));
    }
    if !rows.is_empty() {
        let _ = write!(html, "<table>{rows}</table>");
    }
    let told = |key: &str| match key {
        "description" | "allOf" | "oneOf" | "anyOf" | "properties" | "required" | "$ref" => true,
        "type" => schema["properties"].is_object(),
        _ => false,
    };
    let rest: Vec<_> = object(schema)
        .filter(|(key, _)| !told(key))
        .map(|(key, value)| format!("<code>{}: {}</code>", escaped(key), escaped(&value.to_string())))
        .collect();
    html + &rest.join(" ")
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

/// Text with code between backticks, and lists.
fn prose(value: &Value) -> String {
    let mut html = String::new();
    for (at, part) in text(value).split('`').enumerate() {
        let tags = if at % 2 == 1 { ("<code>", "</code>") } else { ("", "") };
        let _ = write!(html, "{}{part}{}", tags.0, tags.1);
    }
    html.replace("\n\n", "<br>").replace("\n- ", "<br>- ").replace('\n', " ")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_every_operation_and_loads_nothing() {
        let html = &page().html;
        let api: Value = serde_json::from_str(document()).unwrap();
        for (path, method, operation) in operations(&api) {
            let heading = format!("<b>{method}</b> <code>{path}</code>");
            assert!(html.contains(&heading), "{heading}");
            assert!(html.contains(&format!("id=\"{}\"", operation["operationId"].as_str().unwrap())));
        }
        for foreign in ["<script", "<img", "<link", "src=", "@import", "url(", "http://", "https://", "style=", "//cdn"]
        {
            assert!(!html.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn links_of_the_page_lead_somewhere() {
        let html = &page().html;
        for link in html.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(html.contains(&format!("id=\"{link}\"")), "{link}");
        }
    }

    #[test]
    fn what_stands_in_the_document_is_text_on_the_page() {
        let api = serde_json::json!({"info": {"title": "<b>&\"", "version": "1"}});
        assert!(render(&api).contains("<h1>&lt;b&gt;&amp;&quot; 1</h1>"));
        assert_eq!(prose(&serde_json::json!("a `b<` c")), "a <code>b&lt;</code> c");
    }
}
