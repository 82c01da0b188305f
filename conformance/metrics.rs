//! The names, kinds and labels of `/metrics`, held against stock's after the same requests. What stock tells and we do
//! not stands in `metrics_open.txt` with the reason; that list only shrinks.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, coracle, stock};

const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/recordings/metrics.txt");
const OPEN: &str = include_str!("metrics_open.txt");

const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A metric: its kind and the names of its labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

async fn send(server: &Server, (method, path): (Method, &str), body: Option<Value>) -> u16 {
    let request = server.client.request(method, format!("{}{path}", server.base)).bearer_auth("admin-token");
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    request.send().await.unwrap().status().as_u16()
}

/// A webhook that nobody answers for, about ConfigMaps of its name.
fn hook(name: &str, policy: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": name },
        "webhooks": [{
            "name": format!("{name}.a.b"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "failurePolicy": policy, "clientConfig": { "url": "https://127.0.0.1:1/" },
            "rules": [{ "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"] }],
            "matchConditions": [{ "name": "n", "expression": format!("object.metadata.name == '{name}'") }],
        }],
    })
}

/// Requests that touch what is counted: all that succeeds, is refused, is unknown, or is judged by others.
async fn requests(server: &Server) {
    let map = |name: &str| json!({ "metadata": { "name": name } });
    let make = |path: &'static str, body: Value| send(server, (Method::POST, path), Some(body));
    assert_eq!(make(MAPS, map("a")).await, 201);
    assert_eq!(make(HOOKS, hook("open", "Ignore")).await, 201);
    assert_eq!(make(HOOKS, hook("closed", "Fail")).await, 201);
    let policy = json!({ "metadata": { "name": "p" }, "spec": {
        "matchConstraints": { "resourceRules": [{ "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
            "resources": ["configmaps"] }] },
        "validations": [{ "expression": "object.metadata.name != 'judged'" }] } });
    assert_eq!(make(POLICIES, policy).await, 201);
    let binding = json!({ "metadata": { "name": "b" }, "spec": { "policyName": "p", "validationActions": ["Deny"] } });
    assert_eq!(make(BINDINGS, binding).await, 201);
    let refused = || async { make(MAPS, map("closed")).await == 500 && make(MAPS, map("judged")).await == 422 };
    assert!(crate::server::eventually(refused).await, "webhooks and policies come into force");
    assert_eq!(make(MAPS, map("open")).await, 201);
    assert_eq!(send(server, (Method::GET, "/api/v1/configmaps"), None).await, 200);
    assert_eq!(send(server, (Method::GET, "/api/v1/pods?watch=1&timeoutSeconds=1"), None).await, 200);
    let stranger = server.client.get(format!("{}{MAPS}", server.base)).bearer_auth("nobody").send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    let alice = server.client.get(format!("{}{MAPS}", server.base)).bearer_auth("alice-token").send().await.unwrap();
    assert_eq!(alice.status(), 403);
}

async fn families(server: &Server) -> Families {
    requests(server).await;
    let page = server.client.get(format!("{}/metrics", server.base)).bearer_auth("admin-token").send().await.unwrap();
    parse(&page.text().await.unwrap())
}

fn parse(page: &str) -> Families {
    let mut families = Families::new();
    for line in page.lines() {
        if let Some(line) = line.strip_prefix("# TYPE ") {
            let (name, kind) = line.split_once(' ').unwrap();
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let end = line.find(['{', ' ']).unwrap();
            let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end_of| line[..end].strip_suffix(end_of));
            let name = bare.filter(|name| families.contains_key(*name)).unwrap_or(&line[..end]);
            let Some((_, labels)) = families.get_mut(name) else { panic!("{line}: no # TYPE stands before it") };
            labels.extend(names(&line[end..]).filter(|label| !["le", "quantile"].contains(&label.as_str())));
        }
    }
    families
}

/// The names of labels in `{a="x",b="y"} 1`.
fn names(text: &str) -> impl Iterator<Item = String> {
    let inside = text.strip_prefix('{').and_then(|text| text.rsplit_once('}')).map_or("", |(inside, _)| inside);
    let pieces: Vec<_> = inside.split("=\"").collect();
    let names = pieces.iter().take(pieces.len().saturating_sub(1));
    let bare = names.map(|piece| piece.rsplit_once(',').map_or(*piece, |(_, name)| name).to_owned());
    bare.collect::<Vec<_>>().into_iter()
}

fn recorded() -> Families {
    let text = std::fs::read_to_string(RECORDING).unwrap();
    let line = |line: &str| {
        let mut words = line.split(' ');
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        (name.to_owned(), (kind.to_owned(), words.map(str::to_owned).collect()))
    };
    text.lines().map(line).collect()
}

/// Whether a name is on the list of those that we do not tell; `*` at the end of a row stands for any rest.
fn open(name: &str) -> bool {
    let rows = OPEN.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(' ').next());
    rows.into_iter().any(|row| row.strip_suffix('*').map_or(row == name, |prefix| name.starts_with(prefix)))
}

#[tokio::test]
async fn metrics_have_the_names_kinds_and_labels_of_stock() {
    let (ours, theirs) = (families(&coracle().await).await, recorded());
    let mut differences = Vec::new();
    for (name, (kind, labels)) in &ours {
        match theirs.get(name) {
            None => differences.push(format!("{name}: stock has no such metric")),
            Some((theirs, _)) if theirs != kind => differences.push(format!("{name}: {kind}, on stock {theirs}")),
            Some((_, theirs)) if labels != theirs => {
                differences.push(format!("{name}: labels {labels:?}, on stock {theirs:?}"));
            }
            Some(_) if open(name) => differences.push(format!("{name}: is told, and stands in metrics_open.txt")),
            Some(_) => {}
        }
    }
    let missing = theirs.keys().filter(|name| !ours.contains_key(*name) && !open(name));
    differences.extend(missing.map(|name| format!("{name}: stock has it")));
    assert_eq!(differences, Vec::<String>::new());
}

#[tokio::test]
#[ignore = "writes recordings/metrics.txt from stock"]
async fn record() {
    let lines = families(&stock().await).await.into_iter().map(|(name, (kind, labels))| {
        let words = [name, kind].into_iter().chain(labels);
        words.collect::<Vec<_>>().join(" ") + "\n"
    });
    std::fs::write(RECORDING, lines.collect::<String>()).unwrap();
}
