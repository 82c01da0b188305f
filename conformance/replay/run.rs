//! Sends the requests of a scenario to a server.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use futures::StreamExt;
use regex::Regex;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::server::Server;
use crate::webhook;

use super::binary::{self, PROTOBUF};
use super::fold::folded;
use super::names::Names;
use super::scenario::{Answer, Request, Scenario, Step};

/// How long a watch may take to give the events that are asked of it.
const EVENTS_MAX: Duration = Duration::from_secs(10);

/// How long an answer may take altogether.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// How long a request is sent again until it is answered as its step says, and how often.
const SETTLE_MAX: Duration = Duration::from_secs(15);
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// Headers that are compared by their values, and those of which only the presence is.
const HEADERS: &[&str] = &[
    "content-type",
    "warning",
    "location",
    "allow",
    "www-authenticate",
    "cache-control",
    "content-encoding",
    "vary",
    "sec-websocket-protocol",
    "x-content-type-options",
];
const PRESENT: &[&str] = &["audit-id", "etag", "retry-after", "x-kubernetes-pf-flowschema-uid"];

/// What asks for a WebSocket beside the scenario's own headers.
const UPGRADE: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

static REPEAT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{repeat:(.*?):(\d+)\}").unwrap());

/// What runs beside a scenario: its webhook, if it has one, and the variables that tell of it.
pub(super) struct Stage {
    webhook: Option<webhook::Webhook>,
    variables: BTreeMap<String, String>,
}

/// Starts what runs beside a scenario.
pub(super) async fn stage(scenario: &Scenario) -> Stage {
    let webhook = match scenario.webhooks.is_empty() {
        true => None,
        false => Some(webhook::start(scenario.webhooks.clone()).await),
    };
    let mut variables = BTreeMap::new();
    if let Some(webhook) = &webhook {
        variables.insert("webhook".to_owned(), webhook.url.clone());
        variables.insert("bundle".to_owned(), webhook.bundle.clone());
        variables.insert("webhook-port".to_owned(), webhook.port.to_string());
    }
    Stage { webhook, variables }
}

impl Stage {
    /// Writes the files of a scenario to a folder and gives its flags.
    pub(super) fn flags(&self, scenario: &Scenario, folder: &Path) -> Vec<String> {
        let mut variables = self.variables.clone();
        variables.insert("folder".to_owned(), folder.display().to_string());
        for (name, text) in &scenario.setting.files {
            std::fs::write(folder.join(name), fill(text, &variables)).unwrap();
        }
        scenario.flags.iter().chain(&scenario.setting.flags).map(|flag| fill(flag, &variables)).collect()
    }
}

/// Runs all steps and gives each with its answer; after a change of webhooks the server may settle for a while.
pub(super) async fn run(server: &Server, name: &str, staged: (&Scenario, &Stage, Duration)) -> Vec<Step> {
    let (scenario, Stage { webhook, variables }, settling) = staged;
    prepare(server, name).await;
    let mut variables = variables.clone();
    variables.insert("ns".to_owned(), name.to_owned());
    let mut names = Names::of_server(&server.base);
    let mut steps = Vec::new();
    for request in &scenario.steps {
        names.next_step();
        if let Some(prefix) = request.body.pointer("/metadata/generateName").and_then(Value::as_str) {
            names.expect_generated(&fill(prefix, &variables));
        }
        if request.compacts() {
            server.compact().await;
            steps.push(Step { request: request.clone(), answer: Answer::none() });
            continue;
        }
        let answer = async {
            settle(server, request, &variables).await;
            let response = send(server, request, &variables).await;
            read(response, request, &mut variables, &mut names).await
        };
        let answer = tokio::time::timeout(ANSWER_MAX, answer).await.unwrap_or_else(|_| Answer::none());
        if webhook.is_some() && !request.r#do.starts_with("GET ") && SETTLING.iter().any(|of| request.r#do.contains(of))
        {
            pause(settling).await;
        }
        if webhook.is_some()
            && request.r#do.starts_with("POST ")
            && request.r#do.ends_with("/customresourcedefinitions")
        {
            established(server, request).await;
        }
        steps.push(Step { request: request.clone(), answer });
    }
    steps
}

/// Resources that decide about others, which stock heeds a little later.
const SETTLING: &[&str] = &["/admissionregistration.k8s.io/", "/customresourcedefinitions", "/apiservices"];

/// A definition is served a moment after it is written.
async fn established(server: &Server, request: &Request) {
    let name = request.body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let url = format!("{}/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}", server.base);
    let established = || async {
        let answer = server.client.get(&url).bearer_auth("admin-token").send().await.unwrap();
        let definition: Value = answer.json().await.unwrap();
        let conditions = definition.pointer("/status/conditions").and_then(Value::as_array).cloned();
        conditions.into_iter().flatten().any(|c| c["type"] == "Established" && c["status"] == "True")
    };
    assert!(crate::server::eventually(established).await, "{name} is not established");
}

#[expect(clippy::disallowed_methods, reason = "another process is waited for of which nothing tells")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
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
    let upgrades = request.websocket || request.headers.contains_key("Upgrade");
    let client = if upgrades { &server.upgrading } else { &server.client };
    let mut sent = client.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
    if request.r#as != "nobody" {
        sent = sent.bearer_auth(match request.r#as.strip_prefix('{') {
            Some(_) => filled(&request.r#as),
            None => format!("{}-token", request.r#as),
        });
    }
    for (name, value) in &request.headers {
        sent = sent.header(name, filled(value));
    }
    if request.websocket {
        for (name, value) in UPGRADE {
            sent = sent.header(name, value);
        }
    }
    if let Some((kind, body)) = body(request, &filled) {
        if !request.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
            sent = sent.header("content-type", kind);
        }
        sent = sent.body(body);
    }
    sent.send().await.unwrap_or_else(|error| panic!("{}: {error:?}", request.step))
}

/// The body with its content type.
fn body(request: &Request, filled: &dyn Fn(&str) -> String) -> Option<(&'static str, Vec<u8>)> {
    let json = "application/json";
    match &request.body {
        Value::Null => None,
        Value::String(text) => {
            let text = filled(text);
            Some((json, binary::unwrapped(&text).unwrap_or_else(|| text.into_bytes())))
        }
        tree => {
            let text = filled(&tree.to_string());
            Some(match request.protobuf {
                true => (PROTOBUF, binary::encode(&serde_json::from_str(&text).unwrap())),
                false => (json, text.into_bytes()),
            })
        }
    }
}

/// Puts variables in the place of `{name}`, and what `{repeat:…:…}` stands for; other braces are JSON.
fn fill(text: &str, variables: &BTreeMap<String, String>) -> String {
    let put = |text: String, (name, value): (&String, &String)| text.replace(&format!("{{{name}}}"), value);
    let text = variables.iter().fold(text.to_owned(), put);
    let repeated = |found: &regex::Captures<'_>| found[1].repeat(found[2].parse().unwrap());
    REPEAT.replace_all(&text, repeated).into_owned()
}

/// Waits until a request is answered as its step says.
#[expect(clippy::disallowed_methods, reason = "another process is waited for by real time")]
#[expect(clippy::print_stderr, reason = "whoever runs the test is to know what comes of it")]
async fn settle(server: &Server, request: &Request, variables: &BTreeMap<String, String>) {
    let settled = async {
        while !send(server, request, variables).await.text().await.unwrap_or_default().contains(&request.until) {
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
    };
    if !request.until.is_empty() && tokio::time::timeout(SETTLE_MAX, settled).await.is_err() {
        eprintln!("{}: the server does not settle", request.step);
    }
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
        Some(count) if status == 101 => messages(response, count).await,
        Some(count) if status == 200 => events(response, count, kind.starts_with(PROTOBUF)).await,
        _ => tree(&kind, &response.bytes().await.unwrap_or_default()),
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

fn tree(kind: &str, bytes: &[u8]) -> Value {
    let text = folded(&String::from_utf8_lossy(bytes));
    let parsed = match kind.split(';').next() {
        Some("application/json") => serde_json::from_str(&text).ok(),
        Some("application/yaml") => serde_saphyr::from_str(&text).ok(),
        Some(PROTOBUF) => Some(binary::decode(bytes)),
        _ => None,
    };
    parsed.unwrap_or(Value::String(text))
}

/// The first events of a watch, one JSON document a line or one frame of protobuf each; fewer when the time is over
/// or the server ends it.
async fn events(response: Response, count: usize, protobuf: bool) -> Value {
    let mut stream = response.bytes_stream();
    let mut bytes = Vec::new();
    let mut events = Vec::new();
    let reading = async {
        while events.len() < count {
            let end = match protobuf {
                true => binary::frame_length(&bytes),
                false => bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1),
            };
            if let Some(end) = end {
                let rest = bytes.split_off(end);
                let frame = std::mem::replace(&mut bytes, rest);
                events.push(if protobuf { binary::event(&frame[4..]) } else { line(&frame) });
                continue;
            }
            match stream.next().await {
                Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
                Some(Err(_)) | None => break,
            }
        }
    };
    // What came until then is the answer.
    let _ = tokio::time::timeout(EVENTS_MAX, reading).await;
    events.into()
}

fn line(bytes: &[u8]) -> Value {
    let text = folded(&String::from_utf8_lossy(bytes));
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// The first messages of a WebSocket.
async fn messages(response: Response, count: usize) -> Value {
    let Ok(mut socket) = response.upgrade().await else { return Value::Null };
    let mut received = Vec::new();
    let mut messages = Vec::new();
    let reading = async {
        while messages.len() < count {
            if let Some((code, bytes)) = binary::take_message(&mut received) {
                messages.push(binary::message(code, &bytes));
                continue;
            }
            if socket.read_buf(&mut received).await.is_ok_and(|read| read == 0) {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(EVENTS_MAX, reading).await;
    messages.into()
}
