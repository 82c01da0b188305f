//! Who gets in: each path of the server with each credential that should open nothing, beside what stock answers.
//! `table.txt` has a line for each path and a column for each credential.
//!
//! After a change of the credentials or of the pinned version: `cargo test --test conformance -- --ignored
//! entrance::record` asks stock and writes the table anew.

mod credentials;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{BINARIES, Server, coracle_with, stock_with};
use credentials::{Credential, NAMESPACE, credentials, guard};

/// How many requests are under way at once.
const TOGETHER: usize = 8;
/// How often a request is sent again that no connection took.
const TRIES: usize = 5;
/// Paths that discovery does not tell of.
const PLAIN: [&str; 26] = [
    "/",
    "/.well-known/openid-configuration",
    "/api",
    "/api/v1",
    "/apis",
    "/apis/",
    "/apis/apps",
    "/apis/apps/v1",
    "/apis/none.example.org/v1",
    "/debug/flags/v",
    "/debug/pprof/",
    "/healthz",
    "/healthz/ping",
    "/livez",
    "/livez/ping",
    "/logs",
    "/metrics",
    "/metrics/slis",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/apis/apps/v1",
    "/openid/v1/jwks",
    "/readyz",
    "/readyz/ping",
    "/version",
    "/nothing/here",
];
/// Those who try every method; the others only read.
const TRY_ALL: [&str; 3] = ["nothing", "nonsense", "powerless"];
const HEAD: &str =
    "# Who gets in, as stock kube-apiserver says: the status of each answer, with p if it is in plain words.\n";

/// A line of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    method: Method,
    path: String,
    /// In the order of the credentials; `-` where it is not tried.
    outcomes: Vec<String>,
}

impl Row {
    fn read(line: &str) -> Self {
        let mut words = line.split(' ').map(str::to_owned);
        let method = Method::from_bytes(words.next().unwrap().as_bytes()).unwrap();
        Self { method, path: words.next().unwrap(), outcomes: words.collect() }
    }
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/entrance/table.txt")
}

/// Makes the namespace whose ServiceAccount tries.
async fn prepare(server: &Server) {
    let made = [
        ("/api/v1/namespaces".to_owned(), json!({"metadata": {"name": NAMESPACE}})),
        (format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"), json!({"metadata": {"name": "default"}})),
    ];
    for (path, body) in made {
        let request = server.client.post(format!("{}{path}", server.base)).bearer_auth("admin-token").json(&body);
        assert_eq!(request.send().await.unwrap().status(), 201, "{path}");
    }
}

/// Every path and method of a server, as its discovery tells.
async fn doors(server: &Server) -> BTreeSet<(String, &'static str)> {
    let mut doors: BTreeSet<_> = PLAIN.iter().map(|path| ((*path).to_owned(), "GET")).collect();
    for (root, prefix) in [("/api", "/api"), ("/apis", "/apis")] {
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let request = server.client.get(format!("{}{root}", server.base)).bearer_auth("admin-token");
        let groups: Value = request.header("accept", accept).send().await.unwrap().json().await.unwrap();
        for group in groups["items"].as_array().unwrap() {
            let name = group["metadata"]["name"].as_str().unwrap_or("");
            for version in group["versions"].as_array().unwrap() {
                let version_name = version["version"].as_str().unwrap();
                let parts = [prefix, name, version_name];
                let base = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
                version["resources"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .for_each(|resource| of_resource(&base, resource, &mut doors));
            }
        }
    }
    doors
}

fn of_resource(base: &str, resource: &Value, doors: &mut BTreeSet<(String, &'static str)>) {
    let name = resource["resource"].as_str().unwrap();
    let all = match resource["scope"].as_str() {
        Some("Namespaced") => format!("{base}/namespaces/{NAMESPACE}/{name}"),
        _ => format!("{base}/{name}"),
    };
    let subresources = resource["subresources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let below =
        subresources.iter().map(|sub| (format!("{all}/one/{}", sub["subresource"].as_str().unwrap()), sub, true));
    for (path, place, single) in [(all.clone(), resource, false)].into_iter().chain(below) {
        for verb in place["verbs"].as_array().unwrap() {
            let one = if single { path.clone() } else { format!("{path}/one") };
            doors.insert(match verb.as_str().unwrap() {
                "list" | "watch" => (path.clone(), "GET"),
                "get" => (one, "GET"),
                "create" => (path.clone(), "POST"),
                "update" => (one, "PUT"),
                "patch" => (one, "PATCH"),
                "delete" => (one, "DELETE"),
                "deletecollection" => (path.clone(), "DELETE"),
                other => panic!("{path}: {other}"),
            });
        }
    }
}

/// Tries a door with each credential.
async fn attempt(server: &Server, credentials: &[Credential], (path, method): (&str, &Method)) -> Row {
    let mut outcomes = Vec::new();
    for credential in credentials {
        let tried = *method == Method::GET || TRY_ALL.contains(&credential.name);
        outcomes.push(match tried {
            true => outcome(credential, method, &format!("{}{path}", server.base)).await,
            false => "-".to_owned(),
        });
    }
    Row { method: method.clone(), path: path.to_owned(), outcomes }
}

async fn outcome(credential: &Credential, method: &Method, url: &str) -> String {
    let mut answer = credential.request(method.clone(), url).send().await;
    for _ in 0..TRIES {
        // Go's server ends connections over which nobody says who he is, and those that are on their way are sent again.
        if answer.as_ref().is_err_and(reqwest::Error::is_request) {
            answer = credential.request(method.clone(), url).send().await;
        }
    }
    let answer = answer.unwrap_or_else(|error| panic!("{} {url}: {error:?}", credential.name));
    let status = answer.status();
    if status.is_success() {
        return status.as_str().to_owned();
    }
    let body: Option<Value> = answer.json().await.ok();
    let told = body.is_some_and(|body| body["kind"] == "Status" && body["code"] == status.as_u16());
    format!("{}{}", status.as_str(), if told { "" } else { "p" })
}

async fn attempts(server: &Server, doors: Vec<(String, Method)>) -> (Vec<Row>, Vec<&'static str>) {
    let credentials = credentials(server).await;
    let try_one = async |(path, method): &(String, Method)| attempt(server, &credentials, (path, method)).await;
    let rows = futures::stream::iter(&doors).map(try_one).buffered(TOGETHER).collect().await;
    (rows, credentials.iter().map(|credential| credential.name).collect())
}

/// Not a test of ours: it asks stock and writes what it says.
#[tokio::test]
#[ignore = "needs the binaries of conformance/upstream/build"]
async fn record() {
    assert!(Path::new(BINARIES).join("kube-apiserver").exists(), "run conformance/upstream/build first");
    let server = stock_with(guard).await;
    prepare(&server).await;
    let doors = doors(&server).await.into_iter();
    let doors = doors.map(|(path, method)| (path, Method::from_bytes(method.as_bytes()).unwrap())).collect();
    let (rows, names) = attempts(&server, doors).await;
    let mut text = format!("{HEAD}# METHOD PATH {}\n", names.join(" "));
    for Row { method, path, outcomes } in rows {
        writeln!(text, "{method} {path} {}", outcomes.join(" ")).unwrap();
    }
    std::fs::write(file(), text).unwrap();
}

#[tokio::test]
async fn who_shows_what_opens_nothing_is_let_in_nowhere_that_stock_does_not() {
    let text = std::fs::read_to_string(file()).unwrap();
    let expected: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).map(Row::read).collect();
    let server = coracle_with(guard).await;
    prepare(&server).await;
    let doors = expected.iter().map(|row| (row.path.clone(), row.method.clone())).collect();
    let (rows, names) = attempts(&server, doors).await;
    assert!(text.contains(&format!(" PATH {}\n", names.join(" "))), "other credentials; record again");
    let mut different = String::new();
    for (row, stock) in rows.iter().zip(&expected) {
        let outcomes = row.outcomes.iter().zip(&stock.outcomes);
        for (name, (ours, stock)) in names.iter().zip(outcomes).filter(|(_, (ours, stock))| ours != stock) {
            writeln!(different, "{} {} with {name}: {ours}, but stock says {stock}", row.method, row.path).unwrap();
        }
    }
    assert!(different.is_empty(), "{different}");
}
