//! Connections that stall, watchers that read nothing, writers beyond what can be served.

use std::io::Write;
use std::time::Duration;

use coracle::base::SystemClock;
use futures::future::join_all;
use futures::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{JSON, MAPS, SLACK_BYTES};
use crate::server::{Connection, DataFolder, Protocol, Server, coracle, setting};

/// Connections of several bad kinds.
const CONNECTIONS: u64 = 120;
/// Watchers that read nothing, and connections of each other bad kind.
const DEAF: usize = 100;
/// How many writers work at once …
const WRITERS: usize = 300;
/// … where so many may.
const WRITERS_MAX: &str = "--max-mutating-requests-inflight=20";
/// What a connection may cost the server, whatever its client does.
const CONNECTION_BYTES_MAX: u64 = 512 << 10;
/// How long anybody else waits for an answer meanwhile, on a machine that does other work too.
const PATIENCE: Duration = Duration::from_secs(20);
/// By how much the memory of the server may grow by those that are deaf; unbounded buffers would take many times that.
const GROWTH_BYTES_MAX: u64 = 400 << 20;

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
    for index in 0..DEAF * 2 {
        let mut connection = TcpStream::connect(address).await.unwrap();
        // The beginning of a TLS hello, or of no TLS at all.
        let said: &[u8] = [&b"\x16\x03\x01\x02\x00\x01"[..], b"", b"GET / HTTP/1.1\r\nHost:"][index % 3];
        connection.write_all(said).await.unwrap();
        held.push(connection);
    }
    let url = format!("{}/api/v1/namespaces/default/configmaps", server.base);
    let mut endless = tokio::task::JoinSet::new();
    for _ in 0..DEAF {
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
    for _ in 0..DEAF {
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
