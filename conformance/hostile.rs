//! Clients that mean harm or are broken: requests that are nonsense, connections that stall, writers beyond what can be
//! served. Nobody else notices, memory is bounded, and every answer says what is wrong.
//!
//! `CORACLE_HOSTILE=1000000` asks for more than the usual run does, `CORACLE_CONNECTIONS=10000` opens more connections;
//! `CORACLE_SEED` repeats a run.

use std::cell::Cell;
use std::io::Write;
use std::time::Duration;

use coracle::base::SystemClock;
use futures::StreamExt;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Connection, DataFolder, Protocol, chosen, setting};

const REQUESTS: u64 = 600;
const CONNECTIONS: u64 = 120;
/// How many writers work at once …
const WRITERS: usize = 300;
/// … where so many may.
const WRITERS_MAX: &str = "--max-mutating-requests-inflight=20";
/// What a connection may cost the server, whatever its client does.
const CONNECTION_BYTES_MAX: u64 = 512 << 10;
/// What memory may grow by besides: code that is used for the first time, answers that are kept.
const SLACK_BYTES: u64 = 96 << 20;
/// How long anybody else waits for an answer meanwhile, on a machine that does other work too.
const PATIENCE: Duration = Duration::from_secs(20);
/// What one of the requests leaves in memory, on average: few of them make anything.
const STORED_BYTES: u64 = 4 << 10;
/// How many hostile requests are made up at once …
const BATCH: u64 = 5_000;
/// … and after how many what they made is deleted, so that memory has a bound however long the run is.
const ROUND: u64 = 4 * BATCH;
/// Where the requests make something.
const MADE: [&str; 4] = [
    MAPS,
    "/api/v1/namespaces/default/pods",
    "/apis/apps/v1/namespaces/default/deployments",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
];
/// How much of a body is told.
const TOLD_MAX: usize = 300;
/// How many hostile requests are under way at once …
const TOGETHER: u64 = 64;
/// … and how large the body of each may be: so much is in memory at once, and the allocator keeps it a while.
const BODY_BYTES_MAX: u64 = 3 << 20;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";

/// A request before it is spoilt.
const GOOD: [(&str, &str, &str, &str); 14] = [
    ("POST", MAPS, JSON, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"h-"},"data":{"a":"b"}}"#),
    (
        "POST",
        MAPS,
        "application/yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  generateName: h-\ndata: {a: b}\n",
    ),
    (
        "POST",
        MAPS,
        "application/vnd.kubernetes.protobuf",
        "k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x08\n\x06\n\x04name\x1a\0\"\0",
    ),
    (
        "PUT",
        "/api/v1/namespaces/default/configmaps/target",
        JSON,
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"target","resourceVersion":"1"},"binaryData":{"x":"AAAA"}}"#,
    ),
    (
        "PATCH",
        "/api/v1/namespaces/default/configmaps/target",
        "application/json-patch+json",
        r#"[{"op":"test","path":"/data/a","value":"b"},{"op":"copy","from":"/data","path":"/data/x"}]"#,
    ),
    (
        "PATCH",
        "/api/v1/namespaces/default/configmaps/target",
        "application/merge-patch+json",
        r#"{"data":{"a":null,"b":"c"},"metadata":{"labels":{"x":"y"}}}"#,
    ),
    (
        "PATCH",
        "/api/v1/namespaces/default/pods/none",
        "application/strategic-merge-patch+json",
        r#"{"spec":{"$setElementOrder/containers":[{"name":"a"}],"containers":[{"name":"a","$patch":"delete"}]}}"#,
    ),
    (
        "PATCH",
        "/api/v1/namespaces/default/configmaps/applied?fieldManager=me",
        "application/apply-patch+yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {a: b}\n",
    ),
    (
        "POST",
        "/api/v1/namespaces/default/pods",
        JSON,
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"h-"},"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"100m","memory":"1Gi"}}}]}}"#,
    ),
    (
        "POST",
        "/apis/apps/v1/namespaces/default/deployments",
        JSON,
        r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generateName":"h-"},"spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#,
    ),
    (
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        JSON,
        r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"generateName":"h-"},"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["get"]}]}"#,
    ),
    (
        "GET",
        "/api/v1/configmaps?labelSelector=a%20in%20(b,c),!d&fieldSelector=metadata.name!=x&limit=10&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0&timeoutSeconds=1",
        "",
        "",
    ),
    (
        "GET",
        "/api/v1/namespaces/default/pods?watch=true&resourceVersion=1&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "",
        "",
    ),
    (
        "DELETE",
        "/api/v1/namespaces/default/configmaps/target",
        JSON,
        r#"{"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Foreground","gracePeriodSeconds":0,"preconditions":{"uid":"x"}}"#,
    ),
];

/// What is put in the place of something.
const NONSENSE: [&str; 30] = [
    "",
    "null",
    "-1",
    "0",
    "1e400",
    "9223372036854775808",
    "18446744073709551616",
    "0.1",
    "true",
    "\"\"",
    "{}",
    "[]",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "%00",
    "%zz",
    "..",
    "/",
    "//",
    "~0~1~2",
    "$patch",
    "replace",
    "&a *a",
    "!!binary",
    "1Ei",
    "1e-99999",
    "a,b in (",
    "=,=,=",
    "{\"a\":{\"a\":{\"a\":",
];

/// What kube-apiserver v1.37 answers with 500, although it is the client's fault.
const FAULTS_OF_UPSTREAM: [&str; 2] = ["\"resourceVersion: Invalid value", "\"failed to create typed patch object"];

/// A request that somebody hostile sends.
#[derive(Clone, Debug)]
struct Hostile {
    method: Method,
    path: String,
    content_type: String,
    body: Vec<u8>,
}

impl Hostile {
    fn random(random: &mut StdRng) -> Self {
        let (method, path, content_type, body) = *GOOD.choose(random).unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut hostile =
            Self { method, path: path.to_owned(), content_type: content_type.to_owned(), body: body.into() };
        for _ in 0..random.random_range(0..4) {
            hostile.spoil(random);
        }
        hostile
    }

    fn spoil(&mut self, random: &mut StdRng) {
        let nonsense = *NONSENSE.choose(random).unwrap();
        match random.random_range(0..12) {
            0 => self.body.truncate(random.random_range(0..=self.body.len())),
            1 | 2 if !self.body.is_empty() => {
                let at = random.random_range(0..self.body.len());
                self.body[at] = random_byte(random);
            }
            3..6 => {
                let at = random.random_range(0..=self.body.len());
                let end = (at + random.random_range(0..6)).min(self.body.len());
                self.body.splice(at..end, nonsense.bytes());
            }
            6 => self.body = nested(random),
            7 => self.body = self.body.repeat(random.random_range(2..50)),
            8 => self.content_type = GOOD.choose(random).unwrap().2.to_owned(),
            9 => self.method = [Method::GET, Method::PUT, Method::PATCH].choose(random).unwrap().clone(),
            // In the query or the name.
            _ => {
                let escaped: String = nonsense.bytes().map(|byte| format!("%{byte:02x}")).collect();
                let ends: Vec<_> = self.path.match_indices(['=', '&', '/']).map(|(at, _)| at + 1).collect();
                self.path.insert_str(*ends.choose(random).unwrap(), &escaped);
            }
        }
    }

    /// What is wrong with the answer.
    async fn wrong(&self, connection: &Connection) -> Option<String> {
        let mut request = connection.request(self.method.clone(), &self.path).body(self.body.clone());
        if !self.content_type.is_empty() {
            request = request.header("content-type", &self.content_type);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            // The client library refuses to send it.
            Err(error) if error.is_builder() => return None,
            // As many warnings as upstream sends are more headers than the client library takes over HTTP/1.1.
            Err(error) if format!("{error:?}").contains("Parse(TooLarge)") => return None,
            Err(error) => return Some(format!("no answer: {error:?}")),
        };
        let status = answer.status();
        if status.is_success() && self.path.contains("watch") {
            // It may have lost the end that it was given.
            return None;
        }
        let body = match answer.bytes().await {
            Ok(body) => body,
            Err(error) => return Some(format!("half an answer: {error:?}")),
        };
        let text = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() || status.is_redirection() {
            return None;
        }
        // Upstream answers some before it knows of kinds, in plain words.
        let told = match serde_json::from_slice::<Value>(&body) {
            Ok(value) => value["kind"] == "Status" && value["code"] == status.as_u16(),
            Err(_) => !text.trim().is_empty() && status.is_client_error(),
        };
        // A resourceVersion of the future is waited for.
        let allowed = status.is_client_error()
            || status == StatusCode::GATEWAY_TIMEOUT
            || FAULTS_OF_UPSTREAM.iter().any(|words| text.contains(words));
        (!told || !allowed).then(|| format!("{status}: {text}"))
    }
}

fn random_byte(random: &mut StdRng) -> u8 {
    *[0, 0xff, b'"', b'{', b'}', b'[', b']', b':', b'\\', b'\n', b' ', b'-', random.random()].choose(random).unwrap()
}

/// Deep or wide, in JSON and YAML.
fn nested(random: &mut StdRng) -> Vec<u8> {
    // An unoptimized server has not the stack for the 127 levels that it allows in YAML.
    let times = random.random_range(1..if chosen() || !cfg!(debug_assertions) { 20_000 } else { 50 });
    match random.random_range(0..6) {
        0 => "[".repeat(times).into_bytes(),
        1 => [&"[".repeat(times)[..], &"]".repeat(times)[..]].concat().into_bytes(),
        2 => [&"{\"a\":".repeat(times)[..], "1", &"}".repeat(times)[..]].concat().into_bytes(),
        3 => format!(
            "a: &a [x]\nb: &b [{0}]\nc: &c [{1}]\nd: [{2}]\n",
            "*a,".repeat(99),
            "*b,".repeat(99),
            "*c,".repeat(99)
        )
        .into_bytes(),
        4 => format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"generateName":"h-","labels":{{{}}}}}}}"#,
            (0..times.min(5_000)).map(|number| format!("\"l{number}\":\"\"")).collect::<Vec<_>>().join(",")
        )
        .into_bytes(),
        _ => format!("[{}]", vec![r#"{"op":"add","path":"/data/-","value":"x"}"#; times.min(12_000)].join(","))
            .into_bytes(),
    }
}

#[tokio::test]
async fn hostile_requests_are_told_what_is_wrong_with_them() {
    let count = setting("CORACLE_HOSTILE").unwrap_or(REQUESTS);
    let seed = setting("CORACLE_SEED").unwrap_or_else(|| rand::rng().random());
    println!("{count} hostile requests, CORACLE_SEED={seed}");
    let mut data = DataFolder::new();
    let life = data.start_with(&["--etcd-compaction-interval=30s"]);
    let first = life.ready().await;
    let connections = [first.another(Protocol::Http1), first.another(Protocol::Http2)];
    let mut random = StdRng::seed_from_u64(seed);
    let before = life.memory_bytes();
    let wrong_answers = Cell::new(0);
    let mut done = 0;
    while done < count {
        let batch: Vec<_> = (0..BATCH.min(count - done)).map(|_| Hostile::random(&mut random)).collect();
        let ask = async |(number, hostile): (usize, &Hostile)| {
            if let Some(wrong) = hostile.wrong(&connections[number % connections.len()]).await {
                let Hostile { method, path, content_type, body } = hostile;
                let body: String = String::from_utf8_lossy(body).chars().take(TOLD_MAX).collect();
                println!("{wrong}\n  to {method} {path} {content_type}: {body}");
                wrong_answers.set(wrong_answers.get() + 1);
            }
        };
        futures::stream::iter(batch.iter().enumerate()).for_each_concurrent(TOGETHER as usize, ask).await;
        life.assert_running();
        assert_eq!(wrong_answers.get(), 0, "CORACLE_SEED={seed}");
        done += batch.len() as u64;
        let now = life.memory_bytes();
        println!("{done} requests; memory from {} to {} MiB", before >> 20, now >> 20);
        // What one round stored, and the history of it.
        let stored = done.min(ROUND) * STORED_BYTES;
        let under_way = TOGETHER * BODY_BYTES_MAX;
        assert!(
            now < before + SLACK_BYTES + under_way + stored,
            "CORACLE_SEED={seed}: memory grew from {before} to {now}"
        );
        if done.is_multiple_of(ROUND) {
            for path in MADE {
                let deleted = connections[0].request_of("admin", Method::DELETE, path).send().await.unwrap();
                assert_eq!(deleted.status(), StatusCode::OK, "{path}");
            }
        }
    }
    life.kill();
}

/// What a client does with a connection, and then nothing more.
fn begin(connection: &Connection, number: u64) -> std::io::Result<impl Sized + use<>> {
    let mut raw = connection.raw()?;
    let head = "Host: localhost\r\nAuthorization: Bearer admin-token\r\n";
    let sent = match number % 6 {
        0 => String::new(),
        1 => "GET /api/v1/conf".to_owned(),
        2 => format!(
            "POST {MAPS} HTTP/1.1\r\n{head}Content-Type: {JSON}\r\nContent-Length: 3000000\r\n\r\n{}",
            "[".repeat(50_000)
        ),
        3 => format!("POST {MAPS} HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\nffff\r\n{{"),
        4 => format!("GET /api/v1/configmaps HTTP/1.1\r\n{head}\r\n"),
        _ => format!("GET /api/v1/configmaps?watch=true&resourceVersion=1 HTTP/1.1\r\n{head}\r\n"),
    };
    raw.write_all(sent.as_bytes())?;
    raw.flush()?;
    Ok(raw)
}

async fn create(connection: &Connection, user: &str, (name, bytes): (&str, usize)) -> reqwest::Response {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
        "data": {"padding": "x".repeat(bytes)}});
    connection.request_of(user, Method::POST, MAPS).json(&map).send().await.unwrap()
}

#[tokio::test]
async fn connections_that_stall_or_read_nothing_cost_little_and_hold_nobody_up() {
    let count = setting("CORACLE_CONNECTIONS").unwrap_or(CONNECTIONS);
    let mut data = DataFolder::new();
    let life = data.start();
    let connection = life.ready().await;
    let clock = SystemClock::shared();
    assert_eq!(create(&connection, "admin", ("first", 1_000)).await.status(), 201);
    let before = life.memory_bytes();
    let held: Vec<_> = (0..count).map(|number| begin(&connection, number).unwrap()).collect();
    // More than the pipes to those who do not read can hold.
    let mut slowest = Duration::ZERO;
    for number in 0..40 {
        let began = clock.monotonic();
        assert_eq!(create(&connection, "admin", (&format!("large-{number}"), 500_000)).await.status(), 201);
        slowest = slowest.max(clock.monotonic() - began);
    }
    let list = connection.request(Method::GET, MAPS).send().await.unwrap().bytes().await.unwrap();
    let after = life.memory_bytes();
    println!("{count} connections; memory from {} to {} MiB, slowest {slowest:?}", before >> 20, after >> 20);
    assert!(slowest < PATIENCE, "somebody waited {slowest:?}");
    // What is stored, the recent events of it, and the answers that are not read.
    let stored = 4 * list.len() as u64;
    assert!(after < before + SLACK_BYTES + stored + count * CONNECTION_BYTES_MAX, "from {before} to {after}");
    drop(held);
    assert_eq!(create(&connection, "admin", ("last", 10)).await.status(), 201);
    life.kill();
}

#[tokio::test]
async fn writers_beyond_what_can_be_served_are_refused_and_the_others_are_not() {
    let mut data = DataFolder::new();
    let life = data.start_with(&[WRITERS_MAX]);
    let connection = life.ready().await;
    let clock = SystemClock::shared();
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "alice"}, "subjects": [{"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}});
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let bound = connection.request(Method::POST, path).json(&binding).send().await.unwrap();
    assert_eq!(bound.status(), 201);
    let before = life.memory_bytes();
    let connections: Vec<_> = (0..8).map(|_| connection.another(Protocol::Http2)).collect();
    let writer = async |number: usize| {
        let began = clock.monotonic();
        let connection = &connections[number % connections.len()];
        let answer = create(connection, "alice", (&format!("map-{number}"), 2_000)).await;
        let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (number, answer.status().as_u16(), retry, clock.monotonic() - began)
    };
    let answers = join_all((0..WRITERS).map(writer)).await;
    let (mut made, mut refused, mut slowest) = (Vec::new(), 0, Duration::ZERO);
    for (number, status, retry, took) in answers {
        match status {
            201 => {
                made.push(format!("map-{number}"));
                slowest = slowest.max(took);
            }
            429 => {
                assert_eq!(retry.as_deref(), Some("1"));
                refused += 1;
            }
            _ => panic!("writer {number} is answered {status}"),
        }
    }
    let after = life.memory_bytes();
    println!(
        "{} made, {refused} refused, slowest {slowest:?}; from {} to {} MiB",
        made.len(),
        before >> 20,
        after >> 20
    );
    assert!(!made.is_empty() && refused > 0, "{} made, {refused} refused", made.len());
    assert!(after < before + SLACK_BYTES, "memory grew from {before} to {after}");
    let list: Value = connection.request(Method::GET, MAPS).send().await.unwrap().json().await.unwrap();
    let stored: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|map| map["metadata"]["name"].as_str().unwrap()).collect();
    made.sort();
    assert_eq!(stored, made);
    life.kill();
}
