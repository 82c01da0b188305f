//! Requests made from what the server publishes: valid ones, nearly valid ones, and nonsense that has their form.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};

use super::JSON;
use super::made::{self, NAMES};
use super::published::{Operation, Published};
use super::request::Hostile;
use crate::differential;
use crate::server::Connection;

/// By this label what was made is found again.
const LABEL: (&str, &str) = ("made", "hostile");
/// Of all operations that only watch, one in so many is chosen: each waits until its time is over.
const WATCHES: u32 = 40;
/// What a query may say.
const QUERIES: [(&str, &[&str]); 16] = [
    ("limit", &["1", "500", "0", "-1", "99999999999999999999"]),
    ("continue", &["eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiYVx1MDAwMCJ9", "x", ""]),
    ("labelSelector", &["a in (b,c)", "!a", "((", "a=b", "made=hostile"]),
    ("fieldSelector", &["metadata.name=one", "spec.nodeName!=", "\\", "status.phase=x"]),
    ("resourceVersion", &["0", "1", "abc", "18446744073709551615"]),
    ("resourceVersionMatch", &["Exact", "NotOlderThan", "x"]),
    ("dryRun", &["All", "all", ""]),
    ("fieldValidation", &["Strict", "Warn", "Ignore", "x"]),
    ("fieldManager", &["me", "a\u{0}b", ""]),
    ("force", &["true", "false", "x"]),
    ("pretty", &["true", "x"]),
    ("gracePeriodSeconds", &["0", "-1", "30", "x"]),
    ("propagationPolicy", &["Foreground", "Background", "Orphan", "x"]),
    ("orphanDependents", &["true", "x"]),
    ("allowWatchBookmarks", &["true", "x"]),
    ("sendInitialEvents", &["true", "false"]),
];
const ACCEPTS: [&str; 7] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "*/*;q=0.1,;;",
];
/// Objects of these groups change what happens to the requests of others: theirs are dry runs and stay so.
const POWERFUL: [&str; 2] = ["/apis/admissionregistration.k8s.io/", "/apis/apiregistration.k8s.io/"];

/// Makes requests.
pub(super) struct Generator {
    published: Published,
    operations: Vec<Operation>,
    /// Operations that only watch.
    watches: Vec<Operation>,
    /// Valid objects, by the path at which they are made.
    valid: BTreeMap<String, Vec<Value>>,
}

impl Generator {
    /// One for what this server publishes.
    pub(super) async fn read(connection: &Connection) -> Self {
        let published = Published::read(connection).await;
        // What is beyond a connection to a container or a backend is none of the server's.
        let asked = published.operations.iter().filter(|operation| operation.action != "connect").cloned();
        let (watches, operations) = asked.partition(|operation| operation.action.starts_with("watch"));
        Self { operations, watches, valid: differential::valid_objects(), published }
    }

    /// The paths, with their queries, at which what was made is deleted.
    pub(super) fn made(&self) -> Vec<String> {
        let collections = self.operations.iter().filter(|operation| operation.action == "deletecollection");
        let (name, value) = LABEL;
        let path = |operation: &Operation| operation.path.replace("{namespace}", "default");
        collections.map(|operation| format!("{}?labelSelector={name}%3D{value}", path(operation))).collect()
    }

    /// A request.
    pub(super) fn request(&self, random: &mut StdRng) -> Hostile {
        let some = if random.random_ratio(1, WATCHES) { &self.watches } else { &self.operations };
        let operation = some.choose(random).unwrap();
        let powerful = POWERFUL.iter().any(|prefix| operation.path.starts_with(prefix));
        let content_type = match operation.content_types.choose(random).map(String::as_str) {
            Some("*/*") if random.random_ratio(1, 4) => "application/yaml",
            Some("*/*") | None => JSON,
            Some(content_type) => content_type,
        };
        let body =
            if operation.method == Method::GET { Vec::new() } else { self.body((operation, content_type), random) };
        let mut hostile = Hostile {
            method: operation.method.clone(),
            path: format!("{}?{}", path(operation, random), query((operation, powerful), random)),
            content_type: content_type.to_owned(),
            accept: ACCEPTS.choose(random).unwrap(),
            body,
        };
        // Where a dry run could become none nothing is spoilt but the body.
        if !powerful && random.random_ratio(1, 4) {
            hostile.spoil(random);
        }
        hostile
    }

    fn body(&self, (operation, content_type): (&Operation, &str), random: &mut StdRng) -> Vec<u8> {
        let Some(schema) = &operation.body else { return Vec::new() };
        let collection = operation.path.split("/{name}").next().unwrap();
        let valid = self.valid.get(collection).filter(|_| random.random_ratio(2, 3));
        let mut body = match valid.and_then(|objects| objects.choose(random)) {
            Some(object) => object.clone(),
            None => made::value(&self.published, (self.published.schema(schema), 0), random),
        };
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("name".to_owned(), json!(NAMES.choose(random).unwrap()));
            metadata.insert("labels".to_owned(), json!({LABEL.0: LABEL.1}));
        }
        if random.random_ratio(1, 2) {
            for _ in 0..random.random_range(1..3) {
                made::bend(&mut body, random);
            }
        }
        let body = if content_type.starts_with("application/json-patch") { steps(body, random) } else { body };
        serde_json::to_vec(&body).unwrap()
    }
}

/// An object as the steps of a JSON patch.
fn steps(object: Value, random: &mut StdRng) -> Value {
    let Value::Object(fields) = object else { return json!([object]) };
    let step = |(name, value): (String, Value)| {
        let operation = ["add", "replace", "test", "remove", "move", "copy", "none"].choose(random).unwrap();
        json!({"op": operation, "path": format!("/{name}"), "from": "/metadata/labels", "value": value})
    };
    fields.into_iter().map(step).collect()
}

fn path(operation: &Operation, random: &mut StdRng) -> String {
    let mut path = operation.path.clone();
    while let Some((before, rest)) = path.split_once('{') {
        let (parameter, after) = rest.split_once('}').unwrap();
        let of = if parameter == "namespace" { &["default", "default", "default", "none"][..] } else { &NAMES[..] };
        path = format!("{before}{}{after}", of.choose(random).unwrap());
    }
    path
}

fn query((operation, powerful): (&Operation, bool), random: &mut StdRng) -> String {
    let mut query = Vec::new();
    for (name, values) in QUERIES {
        if operation.parameters.iter().any(|known| known == name) && random.random_ratio(1, 5) {
            query.push(format!("{name}={}", values.choose(random).unwrap()));
        }
    }
    let dry = |part: &String| part.starts_with("dryRun=");
    if powerful && operation.method != Method::GET {
        query.retain(|part| !dry(part));
        query.push("dryRun=All".to_owned());
    }
    if operation.action == "deletecollection" {
        // What the server needs stays.
        query.retain(|part| !part.starts_with("labelSelector="));
        query.push(format!("labelSelector={}={}", LABEL.0, LABEL.1));
    }
    if operation.path.contains("/watch/") {
        query.push("timeoutSeconds=1".to_owned());
    }
    let escape = |part: &String| part.replace('%', "%25").replace([' ', '"'], "%20").replace(['\0', '\\'], "%00");
    query.iter().map(escape).collect::<Vec<_>>().join("&")
}

#[test]
fn the_same_seed_makes_the_same_path_again() {
    let operation = Operation { path: "/api/v1/namespaces/{namespace}/pods/{name}".to_owned(), ..Operation::default() };
    let made = |seed| path(&operation, &mut StdRng::seed_from_u64(seed));
    assert_eq!(made(1), made(1));
    assert!(!made(1).contains(['{', '}']), "{}", made(1));
}
