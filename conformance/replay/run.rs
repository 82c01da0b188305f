//! Sends the requests of a scenario to a server.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::server::Server;

use super::names::Names;
use super::scenario::{Answer, Request, Scenario, Step};

/// How long a watch may take to give the events that are asked of it.
const EVENTS_MAX: Duration = Duration::from_secs(10);

/// Headers that are compared by their values, and those of which only the presence is.
const HEADERS: &[&str] = &["content-type", "warning", "location", "allow", "www-authenticate", "cache-control"];
const PRESENT: &[&str] = &["audit-id", "etag", "retry-after", "x-kubernetes-pf-flowschema-uid"];

/// Runs all steps and gives each with its answer.
pub(super) async fn run(server: &Server, name: &str, scenario: &Scenario) -> Vec<Step> {
    prepare(server, name).await;
    let mut variables = BTreeMap::from([("ns".to_owned(), name.to_owned())]);
    let mut names = Names::of_server(&server.base);
    let mut steps = Vec::new();
    for request in &scenario.steps {
        names.next_step();
        if let Some(prefix) = request.body.pointer("/metadata/generateName").and_then(Value::as_str) {
            names.expect_generated(prefix);
        }
        let response = send(server, request, &variables).await;
        let answer = read(response, request, &mut variables, &mut names).await;
        steps.push(Step { request: request.clone(), answer });
    }
    steps
}

/// Makes the namespace and the ServiceAccount without which it takes no pods.
async fn prepare(server: &Server, namespace: &str) {
    let made = [
        ("/api/v1/namespaces".to_owned(), json!({"metadata": {"name": namespace}})),
        (format!("/api/v1/namespaces/{namespace}/serviceaccounts"), json!({"metadata": {"name": "default"}})),
    ];
    for (path, body) in made {
        let request = server.client.post(format!("{}{path}", server.base)).bearer_auth("admin-token").json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 201, "{namespace}: {path}: {}", answer.text().await.unwrap());
    }
}

async fn send(server: &Server, request: &Request, variables: &BTreeMap<String, String>) -> Response {
    let filled = |text: &str| fill(text, variables);
    let (method, path) = request.r#do.split_once(' ').unwrap_or_else(|| panic!("{}: no method", request.step));
    let url = format!("{}{}", server.base, filled(path));
    let mut sent = server.client.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
    if request.r#as != "nobody" {
        sent = sent.bearer_auth(match request.r#as.strip_prefix('{') {
            Some(_) => filled(&request.r#as),
            None => format!("{}-token", request.r#as),
        });
    }
    for (name, value) in &request.headers {
        sent = sent.header(name, filled(value));
    }
    let typed = request.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
    let body = match &request.body {
        Value::Null => None,
        Value::String(text) => Some(filled(text)),
        tree => Some(filled(&tree.to_string())),
    };
    if let Some(body) = body {
        if !typed {
            sent = sent.header("content-type", "application/json");
        }
        sent = sent.body(body);
    }
    sent.send().await.unwrap_or_else(|error| panic!("{}: {error:?}", request.step))
}

/// Puts variables in the place of `{name}`; other braces are JSON.
fn fill(text: &str, variables: &BTreeMap<String, String>) -> String {
    variables.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

async fn read(
    response: Response,
    request: &Request,
    variables: &mut BTreeMap<String, String>,
    names: &mut Names,
) -> Answer {
    let status = response.status().as_u16();
    let headers = headers(&response, names);
    let kind = headers.get("content-type").cloned().unwrap_or_default();
    let body = match request.events {
        Some(count) if status == 200 => events(response, count).await,
        _ => tree(&kind, response.text().await.unwrap_or_default()),
    };
    for (name, pointer) in &request.save {
        // Without it the next requests are sent with the variable's name, and are answered otherwise.
        if let Some(value) = body.pointer(pointer) {
            variables.insert(name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
    }
    Answer { status, headers, body: names.name(body) }
}

fn headers(response: &Response, names: &mut Names) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for name in HEADERS {
        let values: Vec<_> = response.headers().get_all(*name).iter().filter_map(|value| value.to_str().ok()).collect();
        if !values.is_empty() {
            kept.insert((*name).to_owned(), names.text(&values.join("; ")));
        }
    }
    for name in PRESENT.iter().filter(|name| response.headers().contains_key(**name)) {
        kept.insert((*name).to_owned(), "present".to_owned());
    }
    kept
}

fn tree(kind: &str, text: String) -> Value {
    let parsed = match kind.split(';').next() {
        Some("application/json") => serde_json::from_str(&text).ok(),
        Some("application/yaml") => serde_saphyr::from_str(&text).ok(),
        _ => None,
    };
    parsed.unwrap_or(Value::String(text))
}

/// The first events of a watch, one JSON document a line; fewer when the time is over or the server ends it.
async fn events(response: Response, count: usize) -> Value {
    let mut stream = response.bytes_stream();
    let mut bytes = Vec::new();
    let complete = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    let reading = async {
        while complete(&bytes) < count {
            match stream.next().await {
                Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
                Some(Err(_)) | None => break,
            }
        }
    };
    // What came until then is the answer.
    let _ = tokio::time::timeout(EVENTS_MAX, reading).await;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(count);
    lines.map(|line| serde_json::from_slice(line).unwrap_or_else(|_| json!(String::from_utf8_lossy(line)))).collect()
}
