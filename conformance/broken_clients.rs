//! Clients that mean no good, or are broken: requests made at random from the pieces of good ones, connections that
//! say nothing or half of it, watchers that read nothing. The server answers everyone else as before and keeps within
//! its memory.

use std::time::Duration;

use futures::{StreamExt, stream};
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::server::{Server, coracle};

/// How many requests are made at random, and how many at a time.
const REQUESTS: u64 = 3000;
const AT_ONCE: usize = 8;

/// Connections of each bad kind.
const CONNECTIONS: usize = 100;

/// What a good request may take while bad ones are under way.
const PATIENCE: Duration = Duration::from_secs(10);

/// By how much the memory of the server may grow in these tests; unbounded buffers would take many times that.
const GROWTH_BYTES_MAX: u64 = 400 << 20;

/// Numbers that look like chance and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const PATHS: [&str; 16] = [
    "/api/v1/namespaces/default/configmaps",
    "/api/v1/namespaces/default/configmaps/one",
    "/api/v1/namespaces/default/pods",
    "/api/v1/namespaces/default/pods/one/binding",
    "/api/v1/namespaces/default/pods/one/eviction",
    "/api/v1/namespaces/default/pods/one/status",
    "/api/v1/namespaces/default/services",
    "/apis/apps/v1/namespaces/default/deployments",
    "/apis/apps/v1/namespaces/default/deployments/one/scale",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/api/v1",
    "/openapi/v2",
    "/apis/apps",
    "/api/v1/namespaces/%2e%2e/pods",
];
const PARAMETERS: [&str; 20] = [
    "limit=1",
    "limit=99999999999999999999",
    "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiYVx1MDAwMCJ9",
    "continue=%00",
    "labelSelector=a%20in%20(b,c)",
    "labelSelector=((",
    "fieldSelector=metadata.name%3Done",
    "fieldSelector=%5C",
    "resourceVersion=0",
    "resourceVersion=abc",
    "resourceVersionMatch=Exact",
    "dryRun=All",
    "fieldValidation=Strict",
    "fieldManager=%ff",
    "fieldManager=m&force=true",
    "timeout=1h",
    "pretty=true",
    "gracePeriodSeconds=-1",
    "propagationPolicy=Foreground",
    "includeObject=Object",
];
const CONTENT_TYPES: [&str; 8] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "text/plain",
];
const ACCEPTS: [&str; 6] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "*/*;q=0.1,;;",
];
const BODIES: [&str; 12] = [
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one","labels":{"a":"b"}},"data":{"a":"1"}}"#,
    r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"one"},"spec":{"containers":[{"name":"c","image":"x","resources":{"limits":{"cpu":"1"}}}]}}"#,
    r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"one"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"x"}]}}}}"#,
    r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"one"},"spec":{"ports":[{"port":80}]}}"#,
    r#"[{"op":"add","path":"/data/x","value":"1"},{"op":"copy","from":"/data","path":"/metadata/labels"}]"#,
    r#"{"metadata":{"managedFields":[{}]},"spec":{"$patch":"replace","$retainKeys":["a"]},"$setElementOrder/x":[1]}"#,
    r#"{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"x"},"propagationPolicy":"Orphan"}"#,
    r#"{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"a.b.c"},"spec":{"group":"b.c","scope":"Cluster","names":{"plural":"a","kind":"A"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","items":[{}]}}}]}}"#,
    "a: &x [*x]\nb: !!binary x\n? [c]\n: d\n",
    "k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x08\x0a\x06\x0a\x04one1",
    "[[[[[[[[[[[[[[[[[[[[",
    "",
];

/// The bytes of a body with some of them changed, cut or doubled.
fn spoilt(dice: &mut Dice) -> Vec<u8> {
    let mut body = dice.pick(&BODIES).as_bytes().to_vec();
    for _ in 0..dice.below(4) {
        let at = dice.below(body.len().max(1));
        match dice.below(4) {
            0 => body.truncate(at),
            1 => body.insert(at.min(body.len()), [b'"', b'{', b']', b'\\', 0xff, b':', b'9', 0][dice.below(8)]),
            2 if !body.is_empty() => body[at] = u8::try_from(dice.below(256)).unwrap(),
            _ => body.extend_from_within(at.min(body.len())..),
        }
    }
    body
}

async fn random_request(server: &Server, seed: u64) -> (String, u16, String) {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (seed + 1).wrapping_mul(0x2545_f491_4f6c_dd1d));
    let (method, path) = (dice.pick(&METHODS), dice.pick(&PATHS));
    let parameters: Vec<&str> = (0..dice.below(4)).map(|_| dice.pick(&PARAMETERS)).collect();
    let url = format!("{}{path}?{}", server.base, parameters.join("&"));
    let (accept, content_type, body) = (dice.pick(&ACCEPTS), dice.pick(&CONTENT_TYPES), spoilt(&mut dice));
    let told = format!("{method} {url} {content_type} -> {accept}: {:?}", String::from_utf8_lossy(&body));
    let request = server.client.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
    let request = request.bearer_auth("admin-token").header("accept", accept).header("content-type", content_type);
    let answer = request.body(body).send().await.unwrap_or_else(|error| panic!("{told}: {error:?}"));
    let status = answer.status().as_u16();
    (told, status, answer.text().await.unwrap_or_default())
}

/// Answers of 500 that are upstream's own.
fn upstreams_own(text: &str) -> bool {
    ["strconv.Parse", "failed to create typed patch object", "resourceVersion should not be set"]
        .iter()
        .any(|own| text.contains(own))
}

#[tokio::test]
async fn requests_made_at_random_are_answered_without_a_fault_of_ours() {
    let server = coracle().await;
    let answers = stream::iter(0..REQUESTS).map(|seed| random_request(&server, seed)).buffer_unordered(AT_ONCE);
    let faults: Vec<_> =
        answers.filter(|(_, status, text)| std::future::ready(*status == 500 && !upstreams_own(text))).collect().await;
    assert!(faults.is_empty(), "{} faults, such as {:#?}", faults.len(), &faults[..faults.len().min(5)]);
}

async fn check_still_serving(server: &Server) {
    let answer = server.client.get(format!("{}/api/v1/namespaces/default", server.base)).bearer_auth("admin-token");
    let answer = tokio::time::timeout(PATIENCE, answer.send()).await.expect("nobody else is held up").unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn connections_that_say_nothing_or_half_of_it_hold_nobody_up() {
    let server = coracle().await;
    let before = server.resident_bytes();
    let address = server.base.strip_prefix("https://").unwrap();
    let mut held = Vec::new();
    for index in 0..CONNECTIONS * 2 {
        let mut connection = TcpStream::connect(address).await.unwrap();
        // The beginning of a TLS hello, or of no TLS at all.
        let said: &[u8] = [&b"\x16\x03\x01\x02\x00\x01"[..], b"", b"GET / HTTP/1.1\r\nHost:"][index % 3];
        connection.write_all(said).await.unwrap();
        held.push(connection);
    }
    let url = format!("{}/api/v1/namespaces/default/configmaps", server.base);
    let mut endless = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let first = stream::iter([Ok::<_, std::io::Error>(r#"{"apiVersion":"v1","#)]);
        let body = reqwest::Body::wrap_stream(first.chain(stream::pending()));
        let request = server.upgrading.post(&url).bearer_auth("admin-token").body(body);
        endless.spawn(request.send());
    }
    for _ in 0..20 {
        check_still_serving(&server).await;
    }
    endless.abort_all();
    assert!(server.resident_bytes().saturating_sub(before) < GROWTH_BYTES_MAX);
}

#[tokio::test]
async fn watchers_that_read_nothing_cost_no_memory_of_their_own() {
    let server = coracle().await;
    let url = format!("{}/api/v1/namespaces/default/configmaps", server.base);
    let before = server.resident_bytes();
    let mut deaf = Vec::new();
    for _ in 0..CONNECTIONS {
        // Connections of their own, so that they hold up nobody but themselves.
        let watch = server.upgrading.get(format!("{url}?watch=true")).bearer_auth("admin-token");
        deaf.push(watch.send().await.unwrap());
    }
    // A hundred watchers are told of forty megabytes, four gigabytes together.
    let text = "x".repeat(200_000);
    for round in 0..200 {
        let body = json!({"metadata": {"name": format!("big-{round}")}, "data": {"a": &text}});
        let made = server.client.post(&url).bearer_auth("admin-token").json(&body).send().await.unwrap();
        assert_eq!(made.status(), 201);
        let gone = server.client.delete(format!("{url}/big-{round}")).bearer_auth("admin-token").send().await.unwrap();
        assert_eq!(gone.status(), 200);
    }
    check_still_serving(&server).await;
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{} MiB more than before", grown >> 20);
    drop(deaf);
}
