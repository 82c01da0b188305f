//! OpenAPI and discovery documents, held against those that upstream publishes with its source (`api/openapi-spec`,
//! `api/discovery` in the module of the pinned version). Nothing of them is kept here: where the module is not at hand,
//! the test says so and ends.
//!
//! What differs stands in `documents_open.txt`, with the reason. The list only shrinks:
//! `cargo test --test conformance -- --ignored documents::shrink`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coracle::api::request::User;
use coracle::app::{Cluster, Config, Controllers};
use coracle::server::{Body, Method, Peer, Request};
use serde_json::{Map, Value, json};

const OPEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/documents_open.txt");
const HEAD: &str = "\
# How often our documents differ from those that upstream publishes, by the place in the document, and why.
# * stands for a name; - before a name: upstream has it and we do not; + the reverse. The counts only shrink:
# cargo test --test conformance -- --ignored documents::shrink
";

/// The `api` folder of the pinned module, if Go has fetched it.
fn published() -> Option<PathBuf> {
    let pins = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/upstream/go.mod")).unwrap();
    let pin = pins.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))?;
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = set("GOPATH").or_else(|| Some(set("HOME")?.join("go")));
    let modules = set("GOMODCACHE").or_else(|| Some(path?.join("pkg/mod")))?;
    Some(modules.join(format!("k8s.io/kubernetes@{}/api", pin.trim()))).filter(|folder| folder.is_dir())
}

/// A cluster that serves all that upstream's documents were made with.
async fn everything() -> Cluster {
    let on = |name: &str| (name.to_owned(), true);
    let config = Config {
        controllers: Controllers { selection: String::new(), scheduler: false, nodes: 0 },
        runtime: vec![on("api/all")],
        feature_gates: vec![on("AllAlpha"), on("AllBeta"), ("OpenAPIEnums".to_owned(), false)],
        ..Config::default()
    };
    Cluster::start(config).await.unwrap()
}

async fn document(cluster: &Cluster, path: &str, accept: &str) -> Option<Value> {
    let admin = User { name: "admin".to_owned(), groups: vec!["system:masters".to_owned()], ..User::default() };
    let request = Request::new(Method::Get, path, Peer::Internal(admin)).with_header("accept", accept);
    let response = cluster.server().handle(request).await;
    let Body::Full(bytes) = response.body else { return None };
    (response.status == 200).then(|| serde_json::from_slice(&bytes).unwrap())
}

fn files(folder: &Path) -> Vec<(String, Value)> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), serde_json::from_str(&text).unwrap())
    };
    paths.into_iter().map(read).collect()
}

/// What differs: how often, and one place of it with what stands there.
type Differences = BTreeMap<String, (usize, String)>;

async fn differences(published: &Path) -> Differences {
    let cluster = everything().await;
    let mut found = Differences::new();
    for (name, theirs) in files(&published.join("openapi-spec/v3")) {
        let path = format!("/openapi/v3/{}", name.trim_end_matches("_openapi").replace("__", "/"));
        let ours = document(&cluster, &path, "application/json").await;
        compare("v3", &name, (ours.map(unversioned), without_cbor(theirs)), &mut found);
    }
    for (name, theirs) in files(&published.join("openapi-spec")) {
        let ours = document(&cluster, "/openapi/v2", "application/json").await;
        compare("v2", &name, (ours.map(unversioned), without_cbor(theirs)), &mut found);
    }
    for (name, theirs) in files(&published.join("discovery")) {
        let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let (path, accept) = match name.as_str() {
            "aggregated_v2" => ("/apis".to_owned(), aggregated),
            other => (format!("/{}", other.replace("__", "/")), "application/json"),
        };
        let ours = document(&cluster, &path, accept).await;
        compare("discovery", &name, (ours, theirs), &mut found);
    }
    cluster.stop().await;
    found
}

/// Upstream's documents are made without a version.
fn unversioned(mut ours: Value) -> Value {
    ours["info"]["version"] = json!("unversioned");
    ours
}

/// They are made with a gate on that is off by default, and that we do not have.
fn without_cbor(mut theirs: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.retain(|key, _| !key.contains("cbor"));
                map.values_mut().for_each(walk);
            }
            Value::Array(items) => {
                items.retain(|item| !item.as_str().is_some_and(|text| text.contains("cbor")));
                items.iter_mut().for_each(walk);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    walk(&mut theirs);
    theirs
}

fn compare(kind: &str, name: &str, (ours, theirs): (Option<Value>, Value), found: &mut Differences) {
    let Some(ours) = ours else {
        found.entry(format!("{kind} -{name}")).or_insert((0, name.to_owned())).0 += 1;
        return;
    };
    let mut walk = Walk { kind, name, path: Vec::new(), found };
    walk.values(&ours, &theirs);
}

struct Walk<'a> {
    kind: &'a str,
    name: &'a str,
    path: Vec<String>,
    found: &'a mut Differences,
}

impl Walk<'_> {
    fn values(&mut self, ours: &Value, theirs: &Value) {
        match (ours, theirs) {
            (Value::Object(ours), Value::Object(theirs)) => self.maps(ours, theirs),
            (Value::Array(ours), Value::Array(theirs)) => self.lists(ours, theirs),
            _ if ours == theirs => {}
            _ => self.note(Some(ours), Some(theirs)),
        }
    }

    fn maps(&mut self, ours: &Map<String, Value>, theirs: &Map<String, Value>) {
        for (key, value) in ours {
            match theirs.get(key) {
                Some(other) => self.below(key.clone(), |walk| walk.values(value, other)),
                None => self.below(format!("+{key}"), |walk| walk.note(Some(value), None)),
            }
        }
        for (key, value) in theirs.iter().filter(|(key, _)| !ours.contains_key(*key)) {
            self.below(format!("-{key}"), |walk| walk.note(None, Some(value)));
        }
    }

    /// Lists of named things as maps, so that one that is missing is one difference.
    fn lists(&mut self, ours: &[Value], theirs: &[Value]) {
        let named = |list: &[Value]| -> Option<Map<String, Value>> {
            let text = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).map(str::to_owned);
            let name = |item: &Value| {
                let place = text(item, "in").unwrap_or_default();
                let name = text(item, "name").or_else(|| text(item, "resource")).or_else(|| text(item, "version"));
                Some((format!("{place} {}", name?), item.clone()))
            };
            list.iter().map(name).collect()
        };
        match (named(ours), named(theirs)) {
            (Some(ours), Some(theirs)) => self.maps(&ours, &theirs),
            _ if ours.len() == theirs.len() => {
                for (ours, theirs) in ours.iter().zip(theirs) {
                    self.below("[]".to_owned(), |walk| walk.values(ours, theirs));
                }
            }
            _ => self.note(Some(&json!(ours)), Some(&json!(theirs))),
        }
    }

    fn below(&mut self, step: String, then: impl FnOnce(&mut Self)) {
        self.path.push(step);
        then(self);
        self.path.pop();
    }

    fn note(&mut self, ours: Option<&Value>, theirs: Option<&Value>) {
        let above = |at: usize| at.checked_sub(1).map_or("", |at| self.path[at].as_str());
        let general = |(at, step): (usize, &String)| match above(at) {
            "paths" | "schemas" | "properties" | "definitions" | "parameters" | "items" | "resources" => {
                format!("{}*", if step.starts_with(['+', '-']) { &step[..1] } else { "" })
            }
            _ => step.clone(),
        };
        let key: Vec<String> = self.path.iter().enumerate().map(general).collect();
        let short = |value: Option<&Value>| {
            value.map_or("nothing".to_owned(), |value| value.to_string().chars().take(150).collect())
        };
        let (ours, theirs) = (short(ours), short(theirs));
        let example = format!("{} {}: ours {ours}, theirs {theirs}", self.name, self.path.join("/"));
        self.found.entry(format!("{} {}", self.kind, key.join("/"))).or_insert((0, example)).0 += 1;
    }
}

/// Counts and reasons by place.
fn open() -> BTreeMap<String, (usize, String)> {
    let text = std::fs::read_to_string(OPEN).unwrap_or_default();
    let row = |line: &str| {
        let (row, reason) = line.split_once(" # ").unwrap_or((line, ""));
        let (count, place) = row.split_once(' ').unwrap();
        (place.trim().to_owned(), (count.parse().unwrap(), reason.to_owned()))
    };
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_differ_from_upstreams_no_more_than_is_listed() {
    let Some(published) = published() else {
        println!("NOT RUN: the module k8s.io/kubernetes of the pinned version is not in Go's cache");
        return;
    };
    let open = open();
    let found = differences(&published).await;
    let more = |(place, (count, example)): (&String, &(usize, String))| {
        let listed = open.get(place).map_or(0, |(count, _)| *count);
        (*count > listed).then(|| format!("{count} times, {listed} listed: {place}\n    {example}"))
    };
    let more: Vec<String> = found.iter().filter_map(more).collect();
    assert!(more.is_empty(), "differences that are not listed:\n{}", more.join("\n"));
}

#[test]
fn every_listed_difference_has_a_reason() {
    for (place, (_, reason)) in open() {
        assert!(!reason.is_empty(), "{place} has no reason");
    }
}

/// Not a test: writes what is left. With `CONFORMANCE_OPEN=all` also what is new.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes conformance/documents_open.txt"]
async fn shrink() {
    #[expect(clippy::disallowed_methods, reason = "the one switch of a tool of the workshop")]
    let all = std::env::var("CONFORMANCE_OPEN").is_ok_and(|value| value == "all");
    let open = open();
    let mut lines = String::new();
    for (place, (count, example)) in differences(&published().unwrap()).await {
        let listed = open.get(&place);
        println!("{count} {place}\n    {example}");
        let (most, reason) = listed.map_or((usize::MAX, ""), |(count, reason)| (*count, reason));
        if all || listed.is_some() {
            lines.push_str(&format!("{} {place} # {reason}\n", count.min(if all { usize::MAX } else { most })));
        }
    }
    std::fs::write(OPEN, format!("{HEAD}{lines}")).unwrap();
}
